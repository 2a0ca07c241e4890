"""Two-dimensional convolutions, of groups and depthwise ones among them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse import convolution_loops, kernels
from saft_core.sparse.affine import NOTHING, Affine
from saft_core.sparse.arithmetic import add_bias
from saft_core.sparse.call import Call, Signature, Unsupported, pair
from saft_core.sparse.convolution_functions import (
    DepthwiseConvolution,
    FrozenConvolution,
    SparseConvolution,
    memory_format_of,
    takes_depthwise,
)
from saft_core.sparse.convolution_loops import Geometry
from saft_core.sparse.linear import FrozenLinear, SparseLinear, add_linear, cast_as_autocast
from saft_core.sparse.mixed_batch import MixedBatch
from saft_core.sparse.own_convolution import (
    OwnConvolution,
    by_loops,
    is_pointwise,
    own_convolutions,
    pays,
    waiting,
)
from saft_core.sparse.param_delta import Gathered, ParamDelta, sum_by_bag
from saft_core.sparse.selected import SelectedParameter, Selection
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
    if selection.of(x):
        raise Unsupported("its input is selected")
    x = cast_as_autocast(x)
    if selected is None and selection.of(bias) is None:
        return _frozen(x, weight, bias, geometry, groups)
    y = _frozen(x, weight, None, geometry, groups) if selected is None else _convolved(x, selected, geometry, groups)
    return y if bias is None else y + selection.dense(bias).to(y.dtype)[:, None, None]


def _convolved(x: Tensor, selected: SelectedParameter, geometry: Geometry, groups: int) -> Tensor:
    weight, values, entries = selected.parameter, selected.values, selected.entries
    if groups == 1 and _is_patchwise(x, weight, geometry):
        return _patches(x, selected)
    convolved: Tensor
    if groups == 1:
        convolved = SparseConvolution.apply(x, weight, values, entries, geometry, groups)
    elif not groups == len(weight) == x.shape[1]:
        raise Unsupported("a convolution in several groups of several channels each")
    elif takes_depthwise(x, weight):
        convolved = DepthwiseConvolution.apply(x, weight, values, entries, geometry)
    elif len(entries.channels.outputs) * FEW_CHANNELS <= len(weight):
        convolved = SparseConvolution.apply(x, weight, values, entries, geometry, groups)
    else:
        raise Unsupported("a depthwise convolution with many channels selected")
    return convolved


def _frozen(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int) -> Tensor:
    """A convolution by the kernels, whose weight and bias take no gradient."""
    if any(each is not None and each.requires_grad for each in (weight, bias)) or not kernels.takes(x, weight, bias):
        raise Unsupported("parameters with a gradient of their own, or that the kernels do not take")
    if groups == 1 and is_pointwise(weight.shape, x.shape[1], geometry) and memory_format_of(x) is torch.channels_last:
        rows, grid = _rows(x, weight)
        product: Tensor = FrozenLinear.apply(rows, weight.reshape(len(weight), -1), bias)
        return _planes(product, grid)
    convolved: Tensor = FrozenConvolution.apply(x, weight, bias, geometry, groups)
    return convolved


def _is_patchwise(x: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Whether the windows tile the picture, so that the convolution is one matrix product."""
    window = tuple(weight.shape[2:])
    tiles = all(size % length == 0 for size, length in zip(x.shape[2:], window, strict=True))
    return tiles and geometry == (window, (0, 0), (1, 1))


def _patches(x: Tensor, selected: SelectedParameter) -> Tensor:
    weight = selected.parameter
    rows, grid = _rows(x, weight)
    product: Tensor = SparseLinear.apply(rows, weight.reshape(len(weight), -1), selected.values, selected.entries)
    return _planes(product, grid)


def _rows(x: Tensor, weight: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """The windows of `x` (N, in, H, W) as the rows of a matrix, and how many there are: pictures, down and right."""
    count, channels, height, width = x.shape
    tall, wide = weight.shape[2:]
    windows = x.reshape(count, channels, height // tall, tall, width // wide, wide).permute(0, 2, 4, 1, 3, 5)
    return windows.reshape(-1, channels * tall * wide), (count, height // tall, width // wide)


def _planes(rows: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """(N, out, H, W) of rows (N * H * W, out)."""
    return rows.reshape(*grid, -1).permute(0, 3, 1, 2)


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
    memory_format = memory_format_of(y)
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
    pointwise, last = is_pointwise(kernel, x.shape[1], geometry), memory_format_of(y) is torch.channels_last
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
