"""Layers whose weight gradient exists for the selected entries only, as autograd functions.

Each takes the layer's usual tensors, which need no gradient of their own, and a *leaf* (k,) that stands for the
selected entries of a parameter: the leaf's values are in the parameter already, its gradient is what backward gives.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function
from torch.nn import functional as F

from saft_core.tuning.routes import Entries, MatrixEntries, Route, cheapest

DOT_BYTES_PER_CHUNK = 64 << 20
"""Memory for the gathered operands of dot products where no fused kernel exists."""

FEW_CHANNELS = 4
"""So many times fewer of a depthwise kernel's channels pay for being picked out."""

MULTIPLIED_NUMBERS_PER_CHUNK = 1 << 18
"""Numbers picked out of each operand at once: so many stay in a core's cache."""

Gradients = tuple[Tensor | None, ...]


class DenseAndGather(Function):
    """Any use of a parameter: hands it out as it is, takes its dense gradient, keeps the entries and lets it go."""

    @staticmethod
    def forward(ctx: Any, leaf: Tensor, parameter: Tensor, entries: Entries) -> Tensor:  # noqa: D102
        ctx.entries = entries
        ctx.dtype = leaf.dtype
        return parameter.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:  # noqa: D102
        return ctx.entries.of(gradient).to(ctx.dtype), None, None


class SparseLinear(Function):
    """`x W^T` for x (..., in) and W (out, in): the gradient of W at its entries, by the cheapest route."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, leaf: Tensor, entries: Entries) -> Tensor:  # noqa: D102
        rows = x.reshape(-1, x.shape[-1])
        ctx.route = cheapest(len(rows), entries.matrix.extent, x.device.type)
        ctx.entries, ctx.dtype = entries.matrix, leaf.dtype
        ctx.save_for_backward(_kept(rows, entries.matrix, ctx.route), weight)
        return F.linear(x, weight.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:  # noqa: D102
        kept, weight = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])  # as a matrix: a batched product with one weight is slow
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (flat @ weight.to(flat.dtype)).reshape(*gradient.shape[:-1], weight.shape[1])
        return dx, None, matrix_gradient(flat, kept, ctx.entries, ctx.route).to(ctx.dtype), None


class SparseBias(Function):
    """`y + b` for y (..., out) and b (out,), in place; the gradient of b at its entries."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor, leaf: Tensor, entries: Entries) -> Tensor:  # noqa: D102
        ctx.entries, ctx.dtype = entries, leaf.dtype
        ctx.mark_dirty(y)
        return y.add_(bias.to(y.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:  # noqa: D102
        total = gradient.reshape(-1, gradient.shape[-1]).sum(0, dtype=ctx.dtype)
        return gradient, None, ctx.entries.of(total), None


class SparseEmbedding(Function):
    """`W[tokens]` for W (vocabulary, width): touches the rows of W that were selected and that occur, no others."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, tokens: Tensor, weight: Tensor, leaf: Tensor, entries: Entries, padding: int | None
    ) -> Tensor:
        ctx.entries, ctx.dtype, ctx.padding = entries.matrix, leaf.dtype, padding
        ctx.save_for_backward(tokens.reshape(-1))
        return F.embedding(tokens, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:  # noqa: D102
        (tokens,) = ctx.saved_tensors
        entries: MatrixEntries = ctx.entries
        place = torch.searchsorted(entries.rows, tokens).clamp_(max=len(entries.rows) - 1)
        wanted_tokens = entries.rows[place] == tokens
        if ctx.padding is not None:  # whose row takes no gradient
            wanted_tokens &= tokens != ctx.padding
        found = wanted_tokens.nonzero().reshape(-1)
        total = gradient.new_zeros(len(entries.rows), gradient.shape[-1], dtype=ctx.dtype)
        wanted = gradient.reshape(-1, gradient.shape[-1]).index_select(0, found).to(ctx.dtype)
        if total.is_cuda:  # where index_add_ adds in any order, and so gives other bits each time
            total.index_put_((place[found],), wanted, accumulate=True)
        else:
            total.index_add_(0, place[found], wanted)
        return None, None, total[entries.at_row, entries.columns[entries.at_column]], None, None


class SparseConvolution(Function):
    """A two-dimensional convolution in one group, or of each channel by itself: the weight gradient of the touched
    channels only."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        leaf: Tensor,
        channels: Channels,
        geometry: Sequence[tuple[int, int]],
        groups: int,
    ) -> Tensor:
        ctx.channels, ctx.geometry, ctx.groups, ctx.dtype = channels, geometry, groups, leaf.dtype
        ctx.size, ctx.memory_format = x.shape, _memory_format_of(x)
        ctx.save_for_backward(_picked(x, channels.inputs if groups == 1 else channels.outputs), weight)
        stride, padding, dilation = geometry
        return torch.conv2d(x, weight.to(x.dtype), None, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:  # noqa: D102
        kept, weight = ctx.saved_tensors
        channels: Channels = ctx.channels
        dx = None
        if ctx.needs_input_grad[0]:  # of the input only its form is asked for
            form = torch.empty(ctx.size, dtype=gradient.dtype, device=gradient.device, memory_format=ctx.memory_format)
            dx = _convolution_backward(gradient, form, weight.to(gradient.dtype), ctx.geometry, ctx.groups, _OF_INPUT)[
                0
            ]
        part = _picked(gradient, channels.outputs)
        some = gradient.new_empty(len(channels.outputs), len(channels.inputs), *weight.shape[2:])
        groups = 1 if ctx.groups == 1 else len(channels.outputs)
        dw = _convolution_backward(part, kept, some, ctx.geometry, groups, _OF_WEIGHT)[1]
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
    """Channels last where a picture's channels lie so."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


_OF_INPUT, _OF_WEIGHT = (True, False, False), (False, True, False)


def _convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    geometry: Sequence[tuple[int, int]],
    groups: int,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients that are wanted of a convolution's input, weight and bias. torch.nn.grad has no channels last."""
    backward = torch.ops.aten.convolution_backward
    return backward(gradient, x, weight, None, *geometry, False, (0, 0), groups, wanted)  # type: ignore[no-any-return]


class Channels:
    """The channels of a convolution's weight (out, in, kh, kw) that its entries touch.

    outputs, inputs: int64, ascending. positions: int64 (k,), each entry within the weight of these channels alone.
    are_few: whether a depthwise convolution picks them out.
    """

    def __init__(self, entries: Entries) -> None:
        out_channels, in_channels, height, width = entries.shape
        window = height * width
        output = entries.positions // (in_channels * window)
        self.outputs, at_output = output.unique(return_inverse=True)
        self.inputs, at_input = (entries.positions // window % in_channels).unique(return_inverse=True)
        self.are_few = len(self.outputs) * FEW_CHANNELS <= out_channels
        self.positions = (at_output * len(self.inputs) + at_input) * window + entries.positions % window


def matrix_gradient(gradient: Tensor, x: Tensor, entries: MatrixEntries, route: Route) -> Tensor:
    """The entries (k,) of `gradient^T x`, by `route`; the same numbers by each, up to rounding.

    gradient: (n, out). x: (n, in), or (n, C) with the touched columns alone.
    """
    if route is Route.MULTIPLIED:
        return _multiplied(gradient, x, entries)
    if route is Route.SAMPLED:
        return _dots(_rows_of_transposed(gradient, entries.rows), _touched(x, entries).t().contiguous(), entries)
    if route is Route.GATHERED:
        some = gradient
        if entries.extent.rows < entries.extent.out_features:
            some = gradient.index_select(1, entries.rows)
        return (some.t() @ _touched(x, entries))[entries.at_row, entries.at_column]
    return (gradient.t() @ x)[entries.rows[entries.at_row], entries.columns[entries.at_column]]


def _kept(x: Tensor, entries: MatrixEntries, route: Route) -> Tensor:
    """What backward needs of the input: the touched columns where these are at most half of all, else all of it."""
    few = 2 * entries.extent.columns <= entries.extent.in_features
    return x.index_select(1, entries.columns) if few and route is not Route.DENSE else x


def _touched(x: Tensor, entries: MatrixEntries) -> Tensor:
    return x if x.shape[1] == len(entries.columns) else x.index_select(1, entries.columns)


def _multiplied(gradient: Tensor, x: Tensor, entries: MatrixEntries) -> Tensor:
    """The entries (k,) from gradient (n, out) and x (n, in) or (n, C), some of the n at a time."""
    outputs, inputs = entries.rows[entries.at_row], entries.at_column
    if x.shape[1] != len(entries.columns):
        inputs = entries.columns[inputs]
    total = gradient.new_zeros(len(outputs), dtype=torch.promote_types(gradient.dtype, torch.float32))
    size = max(1, MULTIPLIED_NUMBERS_PER_CHUNK // len(outputs))
    for left, right in zip(gradient.split(size), x.split(size), strict=True):
        products = left.gather(1, outputs.expand(len(left), -1)).to(total.dtype)
        total += products.mul_(right.gather(1, inputs.expand(len(right), -1))).sum(0)
    return total


def _rows_of_transposed(matrix: Tensor, rows: Tensor) -> Tensor:
    picked = matrix if len(rows) == matrix.shape[1] else matrix.index_select(1, rows)
    return picked.t().contiguous()


def _dots(left: Tensor, right: Tensor, entries: MatrixEntries) -> Tensor:
    """`left[at_row] . right[at_column]` for left (R, n) and right (C, n), float32 or float64 (k,)."""
    if left.device.type == "cpu" and left.dtype in (torch.float32, torch.float64):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # sparse CSR calls itself a beta feature
            pattern = torch.sparse_csr_tensor(
                entries.row_starts, entries.at_column, left.new_zeros(len(entries.at_row)), (len(left), len(right))
            )
            product: Tensor = torch.sparse.sampled_addmm(pattern, left, right.t(), beta=0.0)
            return product.values()
    chunk = max(1, DOT_BYTES_PER_CHUNK // (8 * left.shape[1]))
    pieces = zip(entries.at_row.split(chunk), entries.at_column.split(chunk), strict=True)
    dtype = torch.promote_types(left.dtype, torch.float32)
    return torch.cat([torch.linalg.vecdot(left[r].to(dtype), right[c].to(dtype)) for r, c in pieces])
