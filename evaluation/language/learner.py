"""A language model of Hugging Face on one of BOSS's tasks: its loss, its answers and their score.

Models stay in evaluation mode: no dropout, so that each method sees the same function. The loss of a batch is the mean
over its samples, and the loss of a sample the mean over its own words: what a sample adds depends on no other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.language.boss import BossTask, Sample
from saft_core.clip.flat import FlatParameters
from saft_core.tuning.objective import BatchLoss
from saft_core.tuning.precision import passes

IGNORED = -100
"""The target of what has none: torch's own."""
ANSWER_TOKENS = 32
"""The longest answer that is written, or looked for."""


class Learner(ABC):
    """A model with its tokenizer on one task. model: put into evaluation mode, its parameters into one buffer.

    max_tokens: where a text is cut. samples_per_pass: how many are passed at once.
    """

    def __init__(
        self, model: Any, tokenizer: Any, task: BossTask, *, max_tokens: int = 512, samples_per_pass: int = 16
    ) -> None:
        self.model, self.tokenizer, self.task = model.eval().requires_grad_(False), tokenizer, task
        self.flat = FlatParameters(model)
        self.max_tokens, self._per_pass = max_tokens, samples_per_pass

    @property
    @abstractmethod
    def chance(self) -> float:
        """The loss of a model that knows nothing."""

    @abstractmethod
    def loss(self, samples: Sequence[Any]) -> Tensor:
        """The mean of their losses, a scalar."""

    @abstractmethod
    def _answers(self, samples: Sequence[Any]) -> list[Any]: ...

    @abstractmethod
    def _score(self, answers: Sequence[Any], samples: Sequence[Any]) -> float: ...

    def objective(self, samples: Sequence[Sample]) -> BatchLoss:
        """What the functions of `saft_core.tuning` minimise."""

        def loss(positions: Sequence[int]) -> Tensor:
            return self.loss([samples[position] for position in positions])

        return BatchLoss(self.flat, len(samples), loss, samples_per_pass=self._per_pass, chance=self.chance)

    @torch.no_grad()
    def score(self, samples: Sequence[Sample]) -> float:
        """From 0 to 1, of the model as it stands: accuracy, F1 of entities, or F1 of answers."""
        answers: list[Any] = []
        with passes(self.device):
            for start in range(0, len(samples), self._per_pass):
                answers += self._answers(samples[start : start + self._per_pass])
        return self._score(answers, samples)

    def head(self) -> list[nn.Parameter]:
        """Parameters that no pre-training has seen."""
        return []

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.flat.buffer.device

    def read(self, texts: Sequence[Any], seconds: Sequence[str] | None = None, **options: Any) -> Any:
        """Model input of texts, or of pairs of them, cut and padded; `options` are the tokenizer's."""
        chosen = {"truncation": True, "max_length": self.max_tokens, "padding": True, "return_tensors": "pt"} | options
        return self.tokenizer(list(texts), None if seconds is None else list(seconds), **chosen).to(self.device)


def precise(logits: Tensor) -> Tensor:
    """In float32 or better, whatever the passes compute in."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def sum_of_each(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy (N,) from logits (N, L, classes) and targets (N, L), summed over those that are there."""
    each = F.cross_entropy(precise(logits).transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
    return each.sum(dim=1)


def mean_of_each(logits: Tensor, targets: Tensor) -> Tensor:
    """As `sum_of_each`, the mean over those that are there."""
    return sum_of_each(logits, targets) / (targets != IGNORED).sum(dim=1).clamp(min=1)
