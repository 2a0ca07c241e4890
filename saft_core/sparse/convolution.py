"""Two-dimensional convolutions, of groups and depthwise ones among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function

from saft_core.sparse import convolution_loops, kernels
from saft_core.sparse.affine import NOTHING, Affine
from saft_core.sparse.arithmetic import add_bias
from saft_core.sparse.call import Call, Signature, Unsupported, pair
from saft_core.sparse.convolution_loops import Geometry
from saft_core.sparse.linear import SparseLinear, add_linear, cast_as_autocast
from saft_core.sparse.mixed_batch import MixedBatch
from saft_core.sparse.own_convolution import (
    OwnConvolution,
    by_loops,
    is_channels_last,
    is_pointwise,
    own_convolutions,
    pays,
    waiting,
)
from saft_core.sparse.param_delta import Gathered, ParamDelta, sum_by_bag
from saft_core.sparse.selected import Channels, SelectedEntries, SelectedParameter, Selection
from saft_core.sparse.slices import Slices

_CONV2D = Signature(
    input=Signature.REQUIRED, weight=Signature.REQUIRED, bias=None, stride=1, padding=0, dilation=1, groups=1
)

FEW_CHANNELS = 4
"""So many times fewer of a depthwise kernel's channels pay for being picked out in training."""
MANY_ENTRIES = 32
"""Of a row's 1 x 1 kernel, from which on it pays to go place by place, four at a time, instead of entry by entry."""


def _bind(call: Call) -> tuple[Tensor, Tensor, Tensor | None, Geometry, int]:
    """Input, weight, bias, geometry and groups of a call of `F.conv2d`."""
    x, weight, bias, stride, padding, dilation, groups = _CONV2D.bind(call)
    if isinstance(padding, str) or x.dim() != 4:
        raise Unsupported("a convolution of this form")
    return x, weight, bias, Geometry(pair(stride), pair(padding), pair(dilation)), groups


# Training


def gradient(selection: Selection, call: Call) -> Tensor:
    """`F.conv2d` with a sparse gradient of its weight."""
    x, weight, bias, geometry, groups = _bind(call)
    selected = selection.of(weight)
    if selected is None or selection.of(x):
        raise Unsupported("nothing of it is selected, or its input is")
    y = _convolved(cast_as_autocast(x), selected, geometry, groups)
    return y if bias is None else y + selection.dense(bias).to(y.dtype)[:, None, None]


def _convolved(x: Tensor, selected: SelectedParameter, geometry: Geometry, groups: int) -> Tensor:
    weight, channels = selected.parameter, selected.entries.channels
    few = len(channels.outputs) * FEW_CHANNELS <= len(weight)
    if groups == 1 and _is_patchwise(x, weight, geometry):
        return _patches(x, selected)
    if groups == 1 or (groups == len(weight) == x.shape[1] and few):
        convolved: Tensor = SparseConvolution.apply(x, weight, selected.values, selected.entries, geometry, groups)
        return convolved
    raise Unsupported("a convolution in several groups of several channels each, or with many channels selected")


def _is_patchwise(x: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Whether the windows tile the picture, so that the convolution is one matrix product."""
    window = tuple(weight.shape[2:])
    tiles = all(size % length == 0 for size, length in zip(x.shape[2:], window, strict=True))
    return tiles and geometry == (window, (0, 0), (1, 1))


def _patches(x: Tensor, selected: SelectedParameter) -> Tensor:
    weight = selected.parameter
    count, channels, height, width = x.shape
    tall, wide = weight.shape[2:]
    grid = x.reshape(count, channels, height // tall, tall, width // wide, wide).permute(0, 2, 4, 1, 3, 5)
    rows = grid.reshape(-1, channels * tall * wide)
    y: Tensor = SparseLinear.apply(rows, weight.reshape(len(weight), -1), selected.values, selected.entries)
    return y.reshape(count, height // tall, width // wide, -1).permute(0, 3, 1, 2)


class SparseConvolution(Function):
    """A convolution in one group, or depthwise: the weight gradient of the touched channels only."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, x: Tensor, weight: Tensor, values: Tensor, entries: SelectedEntries, geometry: Geometry, groups: int
    ) -> Tensor:
        channels = entries.channels
        ctx.channels, ctx.geometry, ctx.groups, ctx.dtype = channels, geometry, groups, values.dtype
        ctx.size, ctx.memory_format = x.shape, _memory_format_of(x)
        ctx.save_for_backward(_picked(x, channels.inputs if groups == 1 else channels.outputs), weight)
        return torch.conv2d(x, weight.to(x.dtype), None, *geometry, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        kept, weight = ctx.saved_tensors
        channels: Channels = ctx.channels
        dx = None
        if ctx.needs_input_grad[0]:  # of the input only its form is asked for
            form = torch.empty(ctx.size, dtype=gradient.dtype, device=gradient.device, memory_format=ctx.memory_format)
            dx, _, _ = _backward(gradient, form, weight.to(gradient.dtype), ctx.geometry, ctx.groups, of_weight=False)
        part = _picked(gradient, channels.outputs)
        some = gradient.new_empty(len(channels.outputs), len(channels.inputs), *weight.shape[2:])
        groups = 1 if ctx.groups == 1 else len(channels.outputs)
        _, dw, _ = _backward(part, kept, some, ctx.geometry, groups, of_weight=True)
        return dx, None, dw.reshape(-1).index_select(0, channels.positions).to(ctx.dtype), None, None, None


def _picked(x: Tensor, channels: Tensor) -> Tensor:
    """These channels of `x` (N, channels, height, width) as they lie.

    Where channels come last, torch's own would copy all of them first.
    """
    if len(channels) == x.shape[1]:
        return x
    if _memory_format_of(x) is torch.contiguous_format:
        return x.index_select(1, channels)
    return x.permute(0, 2, 3, 1).index_select(3, channels).permute(0, 3, 1, 2)


def _memory_format_of(x: Tensor) -> torch.memory_format:
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, groups: int, *, of_weight: bool
) -> Sequence[Tensor]:
    """The gradients of a convolution's input, weight and bias: of one of the first two. torch.nn.grad's has no
    channels last.
    """
    wanted = (not of_weight, of_weight, False)
    backward = torch.ops.aten.convolution_backward
    return backward(gradient, x, weight, None, *geometry, False, (0, 0), groups, wanted)  # type: ignore[no-any-return]


# Mixed batches


def plain(call: Call) -> tuple[Tensor, Tensor]:
    """`F.conv2d` outside of training, and its weight."""
    x, weight, bias, geometry, groups = _bind(call)
    return kernels.convolution(x, weight, bias, geometry, groups), weight


def mixed(batch: MixedBatch, call: Call) -> Tensor:
    """`F.conv2d` of `x` (B, in, height, width) with each row's own weight and bias."""
    x, weight, bias, geometry, groups = _bind(call)
    x = batch.activations(x)
    weight_delta, bias_delta = batch.delta_of(weight, 4), batch.delta_of(bias, 1)
    if weight_delta is not None and pays(weight_delta, weight.shape, x, geometry, groups):
        if by_loops(weight.shape, x, groups):
            return _delayed(batch, waiting(x, weight, bias, weight_delta, geometry), bias_delta)
        y, weight_delta = own_convolutions(x, weight, bias, weight_delta, geometry, groups), None
    else:
        y = kernels.convolution(x, weight, bias, geometry, groups)
    memory_format = _memory_format_of(y)
    out = y.contiguous(memory_format=memory_format)
    last = memory_format is torch.channels_last
    if weight_delta is not None:
        add_convolution(out, x.contiguous(memory_format=memory_format), weight.shape, weight_delta, geometry)
    if bias_delta is not None:
        add_bias(out.permute(0, 2, 3, 1) if last else out, bias_delta, channels_last=last)
    batch.unseen = y if y is out else y.copy_(out)  # in the order of y in memory: a model may rely on that
    return batch.unseen


def _delayed(batch: MixedBatch, convolution: OwnConvolution, bias: ParamDelta | None) -> Tensor:
    """Its result, written when the next function is known: a batch norm is computed together with it."""
    y = batch.unseen = convolution.y
    batch.delayed.norm = Affine.of(convolution)
    if bias is not None:
        batch.delayed.settle(NOTHING)
        add_bias(y.permute(0, 2, 3, 1), bias, channels_last=True)
    return y


def add_convolution(y: Tensor, x: Tensor, kernel: torch.Size, delta: ParamDelta, geometry: Geometry) -> None:
    """Add a convolution with the delta to `y` (B, out, H, W), for `x` (B, in, H', W'); both float32.

    Both contiguous, or both with their channels last in memory. `kernel` is the shape of the weight,
    (out, in / groups, kh, kw).
    """
    pointwise, last = is_pointwise(kernel, x.shape[1], geometry), _memory_format_of(y) is torch.channels_last
    if pointwise and last and (isinstance(delta, Gathered) or delta.mean >= MANY_ENTRIES):
        places, seen = (values.permute(0, 2, 3, 1).flatten(1, 2) for values in (y, x))
        add_linear(places, seen, delta)  # a linear layer to each place
    elif isinstance(delta, Slices):
        loop = convolution_loops.add_convolution_last if last else convolution_loops.add_convolution
        sizes, groups = (*y.shape[2:], *x.shape[2:]), x.shape[1] // kernel[1]
        loop(len(y), y.data_ptr(), x.data_ptr(), sizes, groups, tuple(kernel), geometry, delta)
    elif pointwise:
        y += delta.matmul(x.flatten(2), y.shape[1]).view(y.shape)
    else:
        y += _shifted_planes(x, y.shape, kernel, delta, geometry)


def _shifted_planes(x: Tensor, size: torch.Size, kernel: torch.Size, delta: Gathered, geometry: Geometry) -> Tensor:
    """What `add_convolution` adds, of `size`: gathers a shifted plane of `x` for each entry, instead of unfolding `x`.

    Windows that do not overlap are no more than `x`: there, as where a ViT cuts its patches, it is unfolded.
    """
    stride, padding, dilation = geometry
    outputs, width, height_k, width_k = kernel
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0])).contiguous()
    to_row, to_channel, down, right = padded.stride()
    windows = padded.as_strided(
        (*x.shape[:2], height_k, width_k, *size[2:]),
        (to_row, to_channel, dilation[0] * down, dilation[1] * right, stride[0] * down, stride[1] * right),
    )
    if x.shape[1] == width and windows.numel() <= x.numel():
        return delta.matmul(windows.reshape(len(x), width * height_k * width_k, -1), outputs).view(size)
    rows = delta.rows.long()
    position = delta.positions.long() - rows * kernel.numel()
    column, k_x = position // width_k, position % width_k
    column, k_y = column // height_k, column % height_k
    out, channel = column // width, column % width
    channel = channel + out // (outputs * width // x.shape[1]) * width  # the first of the output's group
    planes = windows[rows, channel, k_y, k_x].flatten(1)
    each = torch.arange(len(planes), device=planes.device)
    return sum_by_bag(planes, each, delta.values, rows * outputs + out, len(x) * outputs).view(size)
