"""The gradient scores that selection ranks entries by: one dense vector (D,), the only one a fine-tune ever holds.

`mean_gradient` is SAFT (arXiv 2407.03036, equation 2): the average over all samples comes first, the magnitude after
it, so an entry that every sample pulls its own way averages out. `fisher` is the paper's ablation that squares first.
`strategies.py` names the strategies that use them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.clip.flat import FlatParameters
from saft_core.tuning.costs import GRADIENT
from saft_core.tuning.objective import Objective
from saft_core.tuning.progress import WorkMeter

SlotMask = npt.NDArray[np.bool_]
"""Whether each of a model's parameters is scored, bool (parameters,); the scores of the others are zero."""


def mean_gradient(objective: Objective, slots: SlotMask | None = None, meter: WorkMeter | None = None) -> Tensor:
    """Equation 2 in one pass: the gradient of the loss, averaged over all samples; (D,), on the model's device."""
    passed = partial(meter.advance, GRADIENT) if meter is not None else None
    with _gradient(objective.flat, slots) as gradient:
        objective.backward(range(len(objective)), passed=passed)
        return gradient


def fisher(objective: Objective, slots: SlotMask | None = None, meter: WorkMeter | None = None) -> Tensor:
    """The diagonal of the empirical Fisher information: the mean over samples of the squared gradient of one, (D,).

    Squares need each sample's own gradient, so this passes the samples (and with CLIP all prompts) one at a time.
    """
    squares = torch.zeros_like(objective.flat.buffer)
    for position in range(len(objective)):
        with _gradient(objective.flat, slots) as gradient:
            objective.backward([position])
        squares.addcmul_(gradient, gradient, value=1 / len(objective))
        if meter is not None:
            meter.advance(GRADIENT)
    return squares


@contextmanager
def _gradient(flat: FlatParameters, slots: SlotMask | None) -> Iterator[Tensor]:
    wanted = np.ones(len(flat.slots), dtype=bool) if slots is None else slots
    with torch.enable_grad(), flat.trainable(wanted), flat.gradient() as gradient:
        yield gradient
