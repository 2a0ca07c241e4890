"""Batch norm outside of training as what it is, a factor and a summand for each channel, together with its activation.

Torch passes over the activations once for the norm and once more for what follows it, and both passes wait for memory:
half of the time of a small convolutional network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse.call import Call, Signature, Unsupported
from saft_core.sparse.loops import Floats, compiled
from saft_core.sparse.own_convolution import OwnConvolution

MANY_NUMBERS = 1 << 20
"""So many are written by several threads; fewer take one less time than it takes to wake the others."""


@dataclass(frozen=True, eq=False)
class Affine:
    """`y * scale + shift` that has yet to be written over `y`, by what comes behind it.

    y:            float32 (B, channels, height, width) with its channels last in memory.
    scale, shift: float32 (B, channels), or (1, channels) for all rows alike.
    convolution:  what has yet to give `y`, in the same memory; None where that is written.
    """

    y: Tensor
    scale: Tensor
    shift: Tensor
    convolution: OwnConvolution | None = None

    @classmethod
    def of(cls, convolution: OwnConvolution) -> Affine:
        """A convolution alone."""
        channels = convolution.y.shape[1]
        return cls(convolution.y, torch.ones(1, channels), torch.zeros(1, channels), convolution)

    def write(self, call: Call) -> Tensor | None:
        """Write it; together with `call` if that is an activation in place: its result, else None."""
        bounds = bounds_of(call, self.y)
        low, high = bounds or (-math.inf, math.inf)
        if self.convolution is None:
            self._write(low, high)
        else:
            self.convolution.write(self.scale, self.shift, low, high)
        return None if bounds is None else self.y

    def _write(self, low: float, high: float) -> None:
        values = self.y.permute(0, 2, 3, 1).flatten(1, 2).numpy()
        threads = torch.get_num_threads()
        loop = _write if threads == 1 or values.size < MANY_NUMBERS else _write_in_chunks
        loop(values, self.scale.numpy(), self.shift.numpy(), low, high, threads)


_CLAMPS: dict[Callable[..., Any], tuple[Signature, Callable[..., tuple[float, float]]]] = {
    F.hardtanh: (Signature.of(F.hardtanh), lambda low, high: (low, high)),
    F.relu6: (Signature.of(F.relu6), lambda: (0.0, 6.0)),
    F.relu: (Signature.of(F.relu), lambda: (0.0, math.inf)),
}
"""Activations that cut values off: their arguments, the last of which is `inplace`, and between which bounds."""


class Waiting(Protocol):
    """A batch norm that has yet to be computed."""

    def write(self, call: Call) -> Tensor | None:
        """Compute it; together with `call` if that is its activation: its result, else None."""


Norm = TypeVar("Norm", bound=Waiting)


@dataclass(eq=False)
class Delayed(Generic[Norm]):
    """The batch norm of a pass that waits for the next function, which may be its activation; None if none does."""

    norm: Norm | None = None

    def settle(self, call: Call) -> Tensor | None:
        """Compute the norm that waits, together with `call` if this is its activation: that one's result."""
        norm, self.norm = self.norm, None
        return None if norm is None else norm.write(call)


class DelayedAffine(Delayed[Affine]):
    """As `Delayed`; a convolution may wait there alone, until a norm takes it."""

    def convolution_of(self, y: Tensor) -> OwnConvolution | None:
        """The convolution that waits, if it gives `y`: no longer waiting. Anything else that waits is computed."""
        convolution = self.norm.convolution if self.norm else None
        if convolution is None or convolution.y is not y:  # y of a norm is another tensor in the same memory
            self.settle(NOTHING)
            return None
        self.norm = None
        return convolution


NOTHING = Call(object, (), {})
"""What comes behind a model's last function."""


def bounds_of(call: Call, y: Tensor) -> tuple[float, float] | None:
    """What an activation in place of `y` cuts it off at; None for any other call."""
    if call.function not in _CLAMPS or not call.args or call.args[0] is not y:
        return None
    signature, bounds = _CLAMPS[call.function]
    try:
        _, *others, in_place = signature.bind(call)
    except Unsupported:
        return None
    return bounds(*others) if in_place else None


@compiled()
def _write_rows(values: Floats, scale: Floats, shift: Floats, low: float, high: float) -> None:
    """Comparisons that are false for what is no number leave it as it is."""
    least, most = np.float32(low), np.float32(high)
    for place in range(len(values)):
        for channel in range(len(scale)):
            value = values[place, channel] * scale[channel] + shift[channel]
            value = least if value < least else value
            values[place, channel] = most if value > most else value


@compiled()
def _write(values: Floats, scale: Floats, shift: Floats, low: float, high: float, _: int) -> None:
    for row in range(len(values)):
        line = row % len(scale)
        _write_rows(values[row], scale[line], shift[line], low, high)


@compiled(parallel=True)
def _write_in_chunks(values: Floats, scale: Floats, shift: Floats, low: float, high: float, chunks: int) -> None:
    """Each row's places in so many chunks."""
    rows, places, _ = values.shape
    for chunk in numba.prange(rows * chunks):
        row, number = chunk // chunks, chunk % chunks
        at, end = number * places // chunks, (number + 1) * places // chunks
        line = row % len(scale)
        _write_rows(values[row, at:end], scale[line], shift[line], low, high)
