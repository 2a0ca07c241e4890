"""What selection and training minimise: the loss of any model over the samples of a task.

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
    """A loss over samples, by position, that is a mean of what each of them adds."""

    @property
    def flat(self) -> FlatParameters:
        """The model's parameters."""

    @property
    def chance(self) -> float:
        """The loss of a model that guesses."""

    def __len__(self) -> int:
        """How many samples there are."""

    def backward(self, positions: Sequence[int], *, step: int | None = None, passed: Passed | None = None) -> float:
        """The mean loss of the samples at `positions`, whose gradient is added to that of whatever needs one.

        step: the optimizer step that it is for, by which samples may be augmented; None takes them as they are.
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
    """The positions in as few parts as hold at most so many each, of nearly the same size."""
    return [part.tolist() for part in np.array_split(np.array(positions), math.ceil(len(positions) / most))]
