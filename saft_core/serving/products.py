"""Sparse products of mixed batches: every row of a batch with its own sparse difference of one parameter.

Pieces, on a CPU, are taken by compiled loops (kernels.py). Entries, on a GPU, are taken by torch's operators, as many
for any number of adapters. For a linear layer all rows share one block-diagonal sparse matrix, and its product with the
activations is one `embedding_bag`: a sum of weighted rows, one tuned kernel.
"""

from __future__ import annotations

import math
from typing import TypeGuard, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.serving import kernels
from saft_core.serving.kernels import Pieces
from saft_core.serving.plan import Differences, Entries

DENSE_SHARE = 0.02
"""A product entry by entry takes some fifty times as long for each as a dense one does."""
WRITTEN_OUT = 3
"""A 1 x 1 kernel written out costs for each of its weights what an entry costs at a third of a place."""
MANY_ENTRIES = 32
"""Of a row's 1 x 1 kernel, from which on it pays to go place by place, four at a time, instead of entry by entry."""


def dense(own: Differences, batch: int, size: int) -> Tensor:
    """The differences of a small parameter as float32 (batch, size)."""
    if isinstance(own, Pieces):
        return kernels.dense(own, batch, size)
    flat = torch.zeros(batch * size, dtype=own.values.dtype, device=own.values.device)
    flat.index_add_(0, own.positions, own.values)
    return flat.view(batch, size)


def add_vector(y: Tensor, own: Differences, *, last: bool = False) -> None:
    """Add each row's differences of a vector (channels,) to contiguous `y` (B, channels, ...) or (B, ..., channels).

    `last`: the channels are its last dimension.
    """
    if isinstance(own, Pieces):
        kernels.add_vector(y, own, last=last)
    else:
        y = _planes(y, last=last)
        y += dense(own, len(y), y.shape[1])[:, :, None]


def add_spread(y: Tensor, own: Differences, dim: int) -> None:
    """Add each row's differences of a parameter to contiguous `y`, all of it in each row.

    The rows are dimension `dim` of `y`. What is before and behind it are the parameter's dimensions.
    """
    y = y.view(-1, y.shape[dim], math.prod(y.shape[dim + 1 :]))
    if isinstance(own, Pieces):
        kernels.add_spread(y, own)
    else:
        outer, batch, inner = y.shape
        y += dense(own, batch, outer * inner).view(batch, outer, inner).transpose(0, 1)


def add_layer_norm(
    y: Tensor, x: Tensor, mean: Tensor, scale: Tensor, weight: Differences | None, bias: Differences | None
) -> None:
    """Add to `y`, a layer norm of `x`, what the differences of its weight and of its bias add. One may be None.

    All contiguous: y, x (B, ..., width); mean, scale (B, ..., 1), of each token.
    """
    if isinstance(weight or bias, Pieces):
        kernels.add_layer_norm(y, x, mean, scale, *_pieces(weight, bias))
        return
    if weight is not None:
        out = _planes(y, last=True)
        out.addcmul_(_planes((x - mean) * scale, last=True), dense(weight, len(out), out.shape[1])[:, :, None])
    if bias is not None:
        add_vector(y, bias, last=True)


def own_batch_norm(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float,
    of_weight: Differences | None, of_bias: Differences | None, *, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`F.batch_norm` outside of training of `x` (B, channels, ...), each row with its own weight and bias.

    One scale and one shift for each row and channel: as many operations as without any difference. `out` may be `x`.
    """
    weight = torch.ones_like(variance) if weight is None else weight
    bias = torch.zeros_like(variance) if bias is None else bias
    if isinstance(of_weight or of_bias, Pieces):
        scale, shift = kernels.scale_and_shift(len(x), mean, variance, weight, bias, eps, *_pieces(of_weight, of_bias))
    else:
        size, deviation = (len(x), x.shape[1]), (variance + eps).sqrt()
        scale = (weight if of_weight is None else weight + dense(of_weight, *size)) / deviation
        shift = (bias if of_bias is None else bias + dense(of_bias, *size)) - mean * scale
    broadcast = (-1, x.shape[1], *[1] * (x.dim() - 2))
    return torch.addcmul(shift.view(broadcast), x, scale.view(broadcast), out=out)


def _pieces(weight: Differences | None, bias: Differences | None) -> tuple[Pieces, Pieces]:
    """Both; the one that is None as none of the other's entries."""
    one = cast("Pieces", weight or bias)
    none = one._replace(end=one.first)
    return cast("Pieces", weight or none), cast("Pieces", bias or none)


def _planes(values: Tensor, *, last: bool) -> Tensor:
    """(B, channels, N) of (B, channels, ...), or of (B, ..., channels) if these are the `last` dimension."""
    if last:
        return values.view(len(values), -1, values.shape[-1]).transpose(1, 2)
    return values.view(*values.shape[:2], -1)


def add_linear(y: Tensor, x: Tensor, own: Differences) -> None:
    """Add `x @ (difference of the row).T` to `y` (B, T, out), for contiguous `x` (B, T, in)."""
    if isinstance(own, Pieces):
        kernels.add_linear(y, x, own)
    else:
        y += block_product(own, x.transpose(1, 2), y.shape[2]).transpose(1, 2)


def add_right_product(y: Tensor, x: Tensor, own: Differences) -> None:
    """Add `x @ difference of the row` to `y` (B, T, out), for contiguous `x` (B, T, in) and a parameter (in, out)."""
    if isinstance(own, Pieces):
        kernels.add_linear(y, x, own, transposed=True)
        return
    rows, out = own.rows.long(), y.shape[2]
    position = own.positions.long() - rows * x.shape[2] * out
    columns = x[rows, :, position // out] * own.values[:, None]
    y.transpose(1, 2).index_put_((rows, position % out), columns, accumulate=True)


def block_product(entries: Entries, x: Tensor, out_width: int) -> Tensor:
    """`(difference of the row) @ x` (B, out_width, N) for `x` (B, in, N).

    The batch's differences are one block-diagonal sparse matrix of (B * out_width, B * in).
    """
    batch, in_width, _ = x.shape
    out_row = torch.div(entries.positions, in_width, rounding_mode="floor")
    column = torch.sub(entries.positions, out_row - entries.rows, alpha=in_width)
    flat = x.reshape(batch * in_width, -1)
    return _bags(flat, column, entries.values, out_row, batch * out_width).view(batch, out_width, -1)


def _bags(table: Tensor, rows: Tensor, weights: Tensor, bags: Tensor, count: int) -> Tensor:
    """Sums of weighted rows of `table` (N, width), those of each bag, (count, width).

    rows, bags: (E,), bags not descending. Each sum is added up in the entries' order, so that it has the same bits each
    time: `index_add_` on a GPU adds in any order.
    """
    every = torch.arange(count, dtype=bags.dtype, device=bags.device)
    offsets = torch.searchsorted(bags, every, out_int32=bags.dtype == torch.int32)
    return F.embedding_bag(rows, table, offsets, mode="sum", per_sample_weights=weights)


def is_dense(
    own: Differences, kernel: torch.Size, size: torch.Size, stride: tuple[int, int], padding: tuple[int, int]
) -> TypeGuard[Pieces]:
    """Whether so many entries of a convolution's weight differ that each row's own weight, written out, costs less.

    `kernel` is the shape of the weight, `size` that of the input (B, in, H, W).
    """
    if not isinstance(own, Pieces):
        return False
    if _is_pointwise(kernel, size[1], stride, padding):
        return own.mean * size[2] * size[3] * WRITTEN_OUT > kernel.numel()
    return own.mean > DENSE_SHARE * kernel.numel()


def own_convolutions(
    x: Tensor, weight: Tensor, bias: Tensor | None, own: Pieces, *,
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], groups: int,
) -> Tensor:  # fmt: skip
    """`F.conv2d` of each row of `x` (B, in, H, W) with its own weight, written out: for those that `is_dense`."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    form = {"stride": stride, "padding": padding, "dilation": dilation}
    if _is_pointwise(weight.shape, x.shape[1], stride, padding):
        weights = kernels.own_transposed(weight.flatten(1), own, len(x))
        if last:
            y = torch.bmm(x.permute(0, 2, 3, 1).flatten(1, 2), weights).transpose(1, 2)
        else:
            y = torch.bmm(weights.transpose(1, 2), x.flatten(2))
        y = y.unflatten(2, x.shape[2:])
    elif last and groups == len(weight) == x.shape[1]:
        y = kernels.own_depthwise(x, weight, own, **form)
    else:
        weights = weight + dense(own, len(x), weight.numel()).view(-1, *weight.shape)
        rows = zip(x.split(1), weights, strict=True)
        y = torch.cat([F.conv2d(row, of_row, None, **form, groups=groups) for row, of_row in rows])
    return y if bias is None else y.add_(bias[:, None, None])


def _is_pointwise(kernel: torch.Size, inputs: int, stride: tuple[int, int], padding: tuple[int, int]) -> bool:
    """Whether a convolution is a linear layer to each place."""
    return kernel[1:] == (inputs, 1, 1) and stride == (1, 1) and padding == (0, 0)


def add_convolution(
    y: Tensor, x: Tensor, kernel: torch.Size, own: Differences, *,
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int] = (1, 1), last: bool = False,
) -> None:  # fmt: skip
    """Add a convolution with the differences to `y` (B, out, H, W), for `x` (B, in, H', W').

    Both contiguous, or in memory (B, H, W, channels) if `last`. `kernel` is the shape of the weight,
    (out, in / groups, kh, kw).
    """
    pointwise = _is_pointwise(kernel, x.shape[1], stride, padding)
    if pointwise and last and not (isinstance(own, Pieces) and own.mean < MANY_ENTRIES):
        places, seen = (values.permute(0, 2, 3, 1).flatten(1, 2) for values in (y, x))
        add_linear(places, seen, own)  # a linear layer to each place
    elif isinstance(own, Pieces):
        kernels.add_convolution(y, x, kernel, own, stride=stride, padding=padding, dilation=dilation, last=last)
    elif pointwise:
        y += block_product(own, x.flatten(2), y.shape[1]).view(y.shape)
    else:
        added = torch.zeros_like(y, memory_format=torch.contiguous_format) if last else y
        _add_shifted_planes(added, x, kernel, own, stride=stride, padding=padding, dilation=dilation)
        if last:
            y += added


def _add_shifted_planes(
    y: Tensor, x: Tensor, kernel: torch.Size, entries: Entries, *,
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int],
) -> None:  # fmt: skip
    """As `add_convolution`: gathers a shifted plane of `x` for each entry, instead of unfolding all of `x`.

    Windows that do not overlap are no more than `x`: there, as where a ViT cuts its patches, it is unfolded.
    """
    outputs, width, height_k, width_k = kernel
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0])).contiguous()
    to_row, to_channel, down, right = padded.stride()
    windows = padded.as_strided(
        (*x.shape[:2], height_k, width_k, *y.shape[2:]),
        (to_row, to_channel, dilation[0] * down, dilation[1] * right, stride[0] * down, stride[1] * right),
    )
    if x.shape[1] == width and windows.numel() <= x.numel():
        y += block_product(entries, windows.reshape(len(x), width * height_k * width_k, -1), outputs).view(y.shape)
        return
    rows = entries.rows.long()
    position = entries.positions.long() - rows * kernel.numel()
    column, k_x = position // width_k, position % width_k
    column, k_y = column // height_k, column % height_k
    out, channel = column // width, column % width
    channel = channel + out // (outputs * width // x.shape[1]) * width  # the first of the output's group
    planes = windows[rows, channel, k_y, k_x].flatten(1)
    each = torch.arange(len(planes), device=planes.device)
    y += _bags(planes, each, entries.values, rows * outputs + out, len(y) * outputs).view(y.shape)


def add_embeddings(y: Tensor, tokens: Tensor, own: Differences, vocabulary: int) -> None:
    """Add the differences of a table (vocabulary, width) to `y` (B, T, width) = table[tokens], contiguous."""
    if isinstance(own, Pieces):
        kernels.add_embeddings(y, tokens, own)
        return
    width = y.shape[-1]
    wanted = (torch.arange(len(tokens), device=y.device)[:, None] * vocabulary + tokens).reshape(-1)
    held = own.positions.long() // width
    first, last = torch.searchsorted(held, wanted), torch.searchsorted(held, wanted, right=True)
    counts = last - first
    token = torch.repeat_interleave(torch.arange(len(wanted), device=y.device), counts)
    before = torch.cumsum(counts, 0) - counts
    entry = torch.arange(len(token), device=y.device) - before[token] + first[token]
    target = token * width + own.positions[entry].long() % width
    y.view(-1).index_add_(0, target, own.values[entry])
