"""Convolutions of a mixed batch in which each row's own weight is written out: for deltas that are dense.

By loops that take channels as they come last in memory, at the speed of oneDNN. An output is written once: the batch
norm and the activation behind the convolution are computed while it is still in a register.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse import loops, own_convolution_loops
from saft_core.sparse.convolution_loops import Geometry, reach
from saft_core.sparse.own_convolution_loops import Own
from saft_core.sparse.param_delta import Gathered, ParamDelta, to_dense
from saft_core.sparse.slices import Slices
from saft_core.sparse.vectors import LANES

MOST_WEIGHTS = 1 << 16
"""Of a row, for the loops: more would not stay in a core's cache, and every eight places read all of them."""
LOOPS_SHARE = 0.002
"""Of a weight: what so many entries add takes as long as the loops take longer than oneDNN."""
DENSE_SHARE = 0.02
"""The same of a convolution for each row by oneDNN; and of a depthwise one by the loops, most of it at a border."""
WIDE = 3
"""Pictures so many times wider than a depthwise kernel: only there are most places away from a border."""
WRITTEN_OUT = 3
"""To write a weight out takes as long as what an entry adds at a third of a place."""
LONG_LINE = 64
"""Places of a 1 x 1 kernel that are taken as one line; in a short one its last places are computed twice."""


class _Plane(NamedTuple):
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class OwnConvolution:
    """`F.conv2d` of each row of `x` with its own weight, yet to be written into `y`.

    x, y:     float32 (B, in, H', W') and (B, out, H, W), their channels last in memory.
    weights:  float32 (B, in / groups * kh * kw, out).
    bias:     float32 (out,), or None.
    kernel:   the shape of the weight, (out, in / groups, kh, kw).
    """

    x: Tensor
    y: Tensor
    weights: Tensor
    bias: Tensor | None
    kernel: torch.Size
    geometry: Geometry

    def write(self, scale: Tensor, shift: Tensor, low: float, high: float) -> None:
        """Write it times `scale` and plus `shift`, float32 (B, out) or (1, out) both, cut off below and above."""
        if self.bias is not None:
            shift = shift + scale * self.bias
        outputs, inputs, lines, columns = self.kernel
        size, seen = self._planes()
        own = Own(
            len(self.y), self.y.data_ptr(), self.x.data_ptr(), self.weights.data_ptr(), *size, *seen,
            outputs, inputs, lines, columns, *self.geometry.stride, *self.geometry.padding, *self.geometry.dilation,
            scale.data_ptr(), shift.data_ptr(), outputs if len(scale) > 1 else 0, low, high,
        )  # fmt: skip
        if self.x.shape[1] == inputs:
            own_convolution_loops.convolve(own)
        else:
            own_convolution_loops.convolve_depthwise(own)

    def _planes(self) -> tuple[_Plane, _Plane]:
        """Height and width of `y` and `x`; lines joined to longer ones where each place sees itself alone."""
        size, seen = _Plane(*self.y.shape[2:]), _Plane(*self.x.shape[2:])
        if not is_pointwise(self.kernel, self.x.shape[1], self.geometry):
            return size, seen
        whole = [n for n in range(1, size.height + 1) if size.height % n == 0]
        joined = next((n for n in whole if n * size.width >= LONG_LINE), size.height)
        line = _Plane(size.height // joined, size.width * joined)
        return line, line


def waiting(x: Tensor, weight: Tensor, bias: Tensor | None, delta: Slices, geometry: Geometry) -> OwnConvolution:
    """`F.conv2d` of each row of `x` (B, in, H, W) with its own weight, where these take it (`by_loops`)."""
    size = [reach(x.shape[2 + d], weight.shape[2 + d], *(g[d] for g in geometry)) for d in (0, 1)]
    y = torch.empty(len(x), len(weight), *size, memory_format=torch.channels_last)
    return OwnConvolution(x, y, _transposed(weight, delta, len(x)), bias, weight.shape, geometry)


def pays(delta: ParamDelta, kernel: torch.Size, x: Tensor, geometry: Geometry, groups: int) -> TypeGuard[Slices]:
    """Whether so many entries of a weight differ that each row's own costs less than what they add. Not on a GPU.

    `kernel` is the shape of the weight, and x (B, in, H, W) the input.
    """
    if isinstance(delta, Gathered):
        return False
    weights, places = kernel.numel(), x.shape[2] * x.shape[3]
    pointwise = is_pointwise(kernel, x.shape[1], geometry)
    if not by_loops(kernel, x, groups):
        return delta.mean > (weights / places if pointwise else weights * DENSE_SHARE)
    if groups > 1:
        return x.shape[3] >= WIDE * kernel[3] or delta.mean > weights * DENSE_SHARE
    return delta.mean > weights * (LOOPS_SHARE + 1 / (WRITTEN_OUT * places))


def by_loops(kernel: torch.Size, x: Tensor, groups: int) -> bool:
    """Whether the loops take a convolution of `x` (B, in, H, W) by a weight of this shape."""
    if not is_channels_last(x) or x.dtype != torch.float32 or kernel[0] < LANES or kernel.numel() > MOST_WEIGHTS:
        return False
    return groups == 1 or groups == kernel[0] == x.shape[1]


def own_convolutions(
    x: Tensor, weight: Tensor, bias: Tensor | None, delta: Slices, geometry: Geometry, groups: int
) -> Tensor:
    """`F.conv2d` of each row of `x` (B, in, H, W) with its own weight, by torch."""
    if is_pointwise(weight.shape, x.shape[1], geometry):
        weights = _transposed(weight, delta, len(x))
        if x.is_contiguous(memory_format=torch.channels_last):
            y = torch.bmm(x.permute(0, 2, 3, 1).flatten(1, 2), weights).transpose(1, 2)
        else:
            y = torch.bmm(weights.transpose(1, 2), x.flatten(2))
        y = y.unflatten(2, x.shape[2:])
    else:
        weights = weight + to_dense(delta, len(x), weight.numel()).view(-1, *weight.shape)
        rows = zip(x.split(1), weights, strict=True)
        y = torch.cat([F.conv2d(row, of_row, None, *geometry, groups) for row, of_row in rows])
    return y if bias is None else y.add_(bias[:, None, None])


def is_pointwise(kernel: torch.Size, inputs: int, geometry: Geometry) -> bool:
    """Whether a convolution is a linear layer to each place."""
    return kernel[1:] == (inputs, 1, 1) and geometry.stride == (1, 1) and geometry.padding == (0, 0)


def is_channels_last(x: Tensor) -> bool:
    """Whether a picture's channels lie last in memory and in no other way."""
    return x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def _transposed(weight: Tensor, delta: Slices, batch: int) -> Tensor:
    """Each row's own weight (out, in, ...), transposed: (batch, in * ..., out)."""
    weights = weight.flatten(1).t().contiguous().expand(batch, -1, -1).contiguous()
    loops.add_transposed(weights.numpy(), delta)
    return weights
