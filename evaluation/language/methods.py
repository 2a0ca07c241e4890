"""SAFT, full fine-tuning and peft's LoRA on a language model: contexts in which it is adapted, and the base after them.

Each yields how many numbers it trained, or changed. After it every parameter is bit-identical to before, none needs a
gradient, and no module is left.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from evaluation.language.boss import Sample
from evaluation.language.learner import Learner
from evaluation.methods.dense import restored
from evaluation.methods.method import Unsuited
from saft_core.clip.flat import FlatParameters
from saft_core.errors import TrainingDiverged
from saft_core.tuning.objective import Objective
from saft_core.tuning.selection import select
from saft_core.tuning.selection_scores import mean_gradient
from saft_core.tuning.training import batches, cosine, train


@dataclass(frozen=True)
class Settings:
    """How to train. learning_rate: the peak of a half cosine, AdamW's. density: SAFT's. rank: LoRA's."""

    learning_rate: float
    epochs: int
    batch_size: int
    weight_decay: float
    seed: int
    density: float
    rank: int
    patience_epochs: int = 0


@contextmanager
def unadapted(learner: Learner, samples: Sequence[Sample], settings: Settings) -> Iterator[int]:  # noqa: ARG001
    """The model as it is, whose head, if it has one, is random."""
    yield 0


@contextmanager
def saft(learner: Learner, samples: Sequence[Sample], settings: Settings) -> Iterator[int]:
    """The entries of largest mean gradient, trained alone. A head is a part of the model: chosen from like the rest."""
    objective = learner.objective(samples)
    indices = select(mean_gradient(objective), settings.density)
    delta = train(objective, indices, settings)
    where, differences = (torch.from_numpy(part).to(learner.device) for part in (delta.indices, delta.values))
    with learner.flat.added(where, differences):
        yield len(delta)


@contextmanager
def full(learner: Learner, samples: Sequence[Sample], settings: Settings) -> Iterator[int]:
    """Full fine-tuning."""
    with restored(learner.flat):
        everything = learner.flat.model_parameters()
        with _trained(learner.flat, everything):
            descend(learner.objective(samples), everything, settings)
        yield len(learner.flat)


@contextmanager
def lora(learner: Learner, samples: Sequence[Sample], settings: Settings) -> Iterator[int]:
    """LoRA (arXiv 2106.09685) by peft, where peft puts it for this model: queries and values. A head is trained too.

    Raises Unsuited for a model that peft does not know.
    """
    peft: Any = importlib.import_module("peft")
    with torch.random.fork_rng(), restored(learner.flat):
        torch.manual_seed(settings.seed)
        try:
            tuner = peft.LoraModel(learner.model, peft.LoraConfig(r=settings.rank), "default")
        except ValueError as error:
            raise Unsuited(f"peft puts no LoRA into this model: {error}") from error
        try:
            added = [one for one in learner.model.parameters() if one.requires_grad]
            with _trained(learner.flat, learner.head()):
                descend(learner.objective(samples), [*added, *learner.head()], settings)
            yield sum(one.numel() for one in (*added, *learner.head()))
        finally:
            tuner.unload()


Method = Callable[[Learner, Sequence[Sample], Settings], AbstractContextManager[int]]
METHODS: dict[str, Method] = {"as it is": unadapted, "full fine-tuning": full, "LoRA": lora, "SAFT": saft}


def descend(objective: Objective, parameters: Sequence[nn.Parameter], settings: Settings) -> None:
    """Minimise the objective over any parameters, by the batches and the learning rates that SAFT has.

    Raises TrainingDiverged when the loss is no longer finite.
    """
    optimizer = torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=settings.weight_decay)
    drawn = list(batches(len(objective), settings))
    with torch.enable_grad():
        for step, positions in enumerate(drawn):
            optimizer.param_groups[0]["lr"] = cosine(settings.learning_rate, step, len(drawn))
            optimizer.zero_grad()
            if not math.isfinite(objective.backward(positions, step=step)):
                raise TrainingDiverged(f"the loss is no longer a number at step {step + 1}")
            optimizer.step()


@contextmanager
def _trained(flat: FlatParameters, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Within the context, of the model's own parameters these need a gradient and no others."""
    wanted = {id(one) for one in parameters}
    try:
        with flat.trainable(np.array([id(one) in wanted for one in flat.model_parameters()])):
            yield
    finally:
        for one in parameters:
            one.grad = None
