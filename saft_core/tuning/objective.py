"""The interface of what selection and training minimise: the loss of any model over its samples.

flat = FlatParameters(model)
objective = BatchLoss(flat, len(samples), lambda positions: loss(model, samples, positions))
indices = select(mean_gradient(objective), density)
delta = train(objective, indices, schedule)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from saft_core.clip.flat import FlatParameters
from saft_core.tuning.precision import passes

Passed = Callable[[int], None]
"""Called with a number of samples, once these have passed forward and backward."""


class Objective(Protocol):
    """A mean loss over samples, which are addressed by position."""

    @property
    def flat(self) -> FlatParameters:
        """The model's parameters."""

    @property
    def chance(self) -> float:
        """The loss of a model that guesses."""

    def __len__(self) -> int:
        """How many samples there are."""

    def backward(self, positions: Sequence[int], *, step: int | None = None, passed: Passed | None = None) -> float:
        """The mean loss of the samples at `positions`; its gradient is added to that of the parameters that need one.

        step: the optimizer step, from which augmentation is drawn; None means no augmentation.
        passed: called with the number of samples after each forward and backward pass.
        """


class BatchLoss:
    """Any model's loss over a batch as an objective.

    samples: how many there are. loss: from some of their positions to the mean of their losses, a scalar; what a sample
    adds must not depend on the others of its batch. samples_per_pass: so many pass at once, which bounds the memory.
    """

    def __init__(
        self,
        flat: FlatParameters,
        samples: int,
        loss: Callable[[Sequence[int]], Tensor],
        *,
        samples_per_pass: int = 1 << 30,
        chance: float = math.log(2),
    ) -> None:
        self.flat, self.chance = flat, chance
        self._samples, self._loss, self._samples_per_pass = samples, loss, samples_per_pass

    def __len__(self) -> int:
        return self._samples

    def backward(self, positions: Sequence[int], *, step: int | None = None, passed: Passed | None = None) -> float:  # noqa: ARG002
        """See `Objective`. All steps see the same samples."""
        total = 0.0
        for part in parts(positions, self._samples_per_pass):
            with passes(self.flat.buffer.device):
                loss = self._loss(part) * (len(part) / len(positions))
                if loss.requires_grad:
                    loss.backward()
            total += float(loss.detach())
            if passed is not None:
                passed(len(part))
        return total


def parts(positions: Sequence[int], most: int) -> list[list[int]]:
    """The positions split into as few parts of nearly equal size as hold at most `most` each."""
    return [part.tolist() for part in np.array_split(np.array(positions), math.ceil(len(positions) / most))]
