"""Sparse products of mixed batches: every row of a batch with its own sparse difference of one parameter.

Pieces, on a CPU, are taken by compiled loops (kernels.py). Entries, on a GPU, are taken by torch's operators, as many
for any number of adapters. For a linear layer all rows share one block-diagonal sparse matrix, and its product with the
activations is one `embedding_bag`: a sum of weighted rows, one tuned kernel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.serving import kernels
from saft_core.serving.kernels import Pieces
from saft_core.serving.plan import Differences, Entries


def dense(own: Differences, batch: int, size: int) -> Tensor:
    """The differences of a small parameter as float32 (batch, size)."""
    if isinstance(own, Pieces):
        return kernels.dense(own, batch, size)
    flat = torch.zeros(batch * size, dtype=own.values.dtype, device=own.values.device)
    flat[own.positions.long()] = own.values  # each position is there once
    return flat.view(batch, size)


def add_vector(y: Tensor, own: Differences) -> None:
    """Add each row's differences of a vector (channels,) to all of that row of `y` (B, channels, N)."""
    if isinstance(own, Pieces):
        kernels.add_vector(y, own)
    else:
        rows, channels = _channels(own, y.shape[1])
        y.index_put_((rows, channels), own.values[:, None].expand(-1, y.shape[2]), accumulate=True)


def add_scaled(
    y: Tensor, x: Tensor, mean: Tensor, scale: Tensor, own: Differences, *, variance_plus: float | None = None
) -> None:
    """Add `(x - mean) * scale * difference of the row` to `y`, for a vector (channels,); all (B, channels, N).

    `mean` and `scale` may be of one where the others are of more. With `variance_plus`, `scale` holds variances of the
    channels, and the scale is one over the root of variance and this.
    """
    if isinstance(own, Pieces):
        kernels.add_scaled(y, x, mean, scale, own, variance_plus=variance_plus)
    else:
        at = _channels(own, y.shape[1])
        scale = scale if variance_plus is None else (scale + variance_plus).rsqrt()
        mean, scale = mean.expand_as(x), scale.expand_as(x)
        y.index_put_(at, (x[at] - mean[at]) * scale[at] * own.values[:, None], accumulate=True)


def _channels(entries: Entries, size: int) -> tuple[Tensor, Tensor]:
    """Row of the batch and place in a vector of `size` of each entry, (E,) both."""
    rows = entries.rows.long()
    return rows, entries.positions.long() - rows * size


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
    ends = torch.zeros(batch * out_width + 1, dtype=column.dtype, device=column.device)
    offsets = ends.index_add_(0, out_row + 1, torch.ones_like(column)).cumsum_(0)[:-1]
    flat = x.reshape(batch * in_width, -1)
    product = F.embedding_bag(column, flat, offsets, mode="sum", per_sample_weights=entries.values)
    return product.view(batch, out_width, -1)


def add_convolution(
    y: Tensor, x: Tensor, kernel: torch.Size, own: Differences, *, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    """Add a convolution with the differences to `y` (B, out, H, W), for `x` (B, in, H', W'); both contiguous.

    `kernel` is the shape of the weight, (out, in, kh, kw).
    """
    pointwise = kernel[2:] == (1, 1) and stride == (1, 1) and padding == (0, 0)
    if pointwise:  # a plane is one long line then
        y, x = (t.view(*t.shape[:2], 1, -1) for t in (y, x))
    if isinstance(own, Pieces):
        kernels.add_convolution(y, x, kernel, own, stride=stride, padding=padding)
    elif pointwise:
        y += block_product(own, x.flatten(2), y.shape[1]).view(y.shape)
    else:
        add_shifted_planes(y, x, kernel, own, stride=stride, padding=padding)


def add_shifted_planes(
    y: Tensor, x: Tensor, kernel: torch.Size, entries: Entries, *, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    """As `add_convolution`: gathers a shifted plane of `x` for each entry, instead of unfolding all of `x`."""
    _, width, height_k, width_k = kernel
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = padded.unfold(2, height_k, stride[0]).unfold(3, width_k, stride[1]).permute(0, 1, 4, 5, 2, 3)
    rows = entries.rows.long()
    position = entries.positions.long() - rows * kernel.numel()
    column, k_x = position // width_k, position % width_k
    column, k_y = column // height_k, column % height_k
    out, channel = column // width, column % width
    planes = windows[rows, channel, k_y, k_x].flatten(1) * entries.values[:, None]
    y.view(-1, y.shape[2] * y.shape[3]).index_add_(0, rows * y.shape[1] + out, planes)


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
