"""The ways of adapting that are compared. Each leaves the base as it found it.

All but the linear probe minimise the same loss over the same number of batches: cross-entropy over the class prompts,
AdamW with the base's weight decay and a cosine schedule. SAFT selects where the base's defaults say, the others train
both encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from open_clip.modified_resnet import AttentionPool2d
from torch import Tensor, nn
from torch.nn.utils import parametrize

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import class_weights, logits
from saft_core.data.limits import DataLimits
from saft_core.data.loaders import PixelLoader
from saft_core.data.samples import Sample
from saft_core.settings import Limits
from saft_core.tuning.adapt import Task, adapt
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.costs import steps_per_epoch
from saft_core.tuning.evaluation import applied
from saft_core.tuning.training import batches
from tools.effect.journal import Scores
from tools.effect.tasks import Labelled

LORA_RANK = 2


LIMITS = DataLimits.from_attributes(Limits())


def samples_of(found: Labelled) -> list[Sample]:
    """Files with their targets, read when asked for."""
    return [Sample(target, file.name, file.read_bytes) for file, target in zip(found.files, found.targets, strict=True)]


def loader_of(base: Base, found: Labelled) -> PixelLoader:
    """Pictures as the product's training takes them: files that are decoded and preprocessed."""
    return PixelLoader(samples_of(found), base.pixels, LIMITS, side=base.image_side)


Score = Callable[[Tensor | None], Scores]
"""Tests the base as it stands, with the classifier given, (classes, embed_dim), or with the class prompts' own."""


@dataclass(frozen=True)
class Method:
    """A name and how it runs: `run` adapts, calls the score within, restores, and returns what the score said."""

    name: str
    learning_rates: tuple[float, ...]
    run: Callable[[Base, Labelled, TrainingConfig, Score], Scores]


def run_saft(base: Base, found: Labelled, config: TrainingConfig, score: Score, *, density: float) -> Scores:
    """The product's own adaptation at a density, with the delta and the strength that it stores."""
    task, config = Task(found.labels, samples_of(found)), replace(config, density=density)
    result = adapt(base, task, config, LIMITS, observe=lambda _: None)
    with applied(base, result.delta, result.strength):
        return score(None)


def run_full(base: Base, found: Labelled, config: TrainingConfig, score: Score) -> Scores:
    """Every parameter of both encoders."""
    originals = base.flat.buffer.clone()
    try:
        _descend(base, found, config, list(base.model.parameters()))
        return score(None)
    finally:
        base.flat.buffer.copy_(originals)


def run_lora(base: Base, found: Labelled, config: TrainingConfig, score: Score) -> Scores:
    """Low-rank updates of every query and value projection of both encoders."""
    base.model.requires_grad_(False)
    with _low_rank(base.model, config.seed) as factors:
        _descend(base, found, config, factors)
        return score(None)


def _descend(base: Base, found: Labelled, config: TrainingConfig, parameters: Sequence[nn.Parameter]) -> None:
    loader = loader_of(base, found)
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * steps_per_epoch(len(found), config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    try:
        for positions in batches(len(found), config):
            pixels, targets = loader.batch(positions)
            scores = logits(base, pixels, class_weights(base, found.labels, config.template))
            nn.functional.cross_entropy(scores, targets).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
    finally:
        base.model.requires_grad_(False)


class _LowRank(nn.Module):
    """`W + B A` on blocks of rows of a weight; nothing at the start."""

    def __init__(self, weight: Tensor, blocks: Sequence[slice], generator: torch.Generator) -> None:
        super().__init__()
        height, width = weight.shape
        self._padding = [(0, 0, rows.start, height - rows.stop) for rows in blocks]
        self.down = nn.ParameterList(torch.randn(LORA_RANK, width, generator=generator) / width**0.5 for _ in blocks)
        self.up = nn.ParameterList(torch.zeros(rows.stop - rows.start, LORA_RANK) for rows in blocks)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with its updates, same shape."""
        for padding, up, down in zip(self._padding, self.up, self.down, strict=True):
            weight = weight + nn.functional.pad(up @ down, padding)
        return weight


@contextmanager
def _low_rank(model: nn.Module, seed: int) -> Iterator[list[nn.Parameter]]:
    generator = torch.Generator().manual_seed(seed)
    placed: list[tuple[nn.Module, str, _LowRank]] = []
    for owner, name, slices in _query_and_value(model):
        part = _LowRank(getattr(owner, name), slices, generator)
        parametrize.register_parametrization(owner, name, part, unsafe=True)
        placed.append((owner, name, part))
    try:
        yield [parameter for _, _, part in placed for parameter in part.parameters()]
    finally:
        for owner, name, _ in placed:
            parametrize.remove_parametrizations(owner, name, leave_parametrized=False)


def _query_and_value(model: nn.Module) -> list[tuple[nn.Module, str, list[slice]]]:
    """Packed projections of attention blocks, and the attention pool's own."""
    found: list[tuple[nn.Module, str, list[slice]]] = []
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            width = module.embed_dim
            found.append((module, "in_proj_weight", [slice(0, width), slice(2 * width, 3 * width)]))
        elif isinstance(module, AttentionPool2d):
            found += [(owner, "weight", [slice(0, owner.out_features)]) for owner in (module.q_proj, module.v_proj)]
    return found


def run_probe(base: Base, found: Labelled, config: TrainingConfig, score: Score) -> Scores:
    """Multinomial regression on the frozen image embeddings; it has no word for a new class."""
    pixels, targets = loader_of(base, found).batch(range(len(found)))
    with torch.no_grad():
        features = base.encode_pixels(pixels)
    weights = nn.Parameter(torch.zeros(len(found.labels), base.embed_dim))
    optimizer = torch.optim.AdamW([weights], lr=config.learning_rate, weight_decay=config.weight_decay)
    for _ in range(config.epochs * steps_per_epoch(len(found), config.batch_size)):
        nn.functional.cross_entropy(features @ weights.T, targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    return score(weights.detach())


METHODS: tuple[Method, ...] = (
    Method("linear probe", (1e-2, 1e-1, 1.0), run_probe),
    Method("full", (1e-5, 3e-5, 1e-4, 3e-4), run_full),
    Method("lora", (1e-3, 3e-3, 1e-2), run_lora),
    *(Method(f"saft {density}", (3e-4, 1e-3, 3e-3), partial(run_saft, density=density)) for density in (0.001, 0.01)),
)
