"""Sparse products of mixed batches: every row of a batch with its own sparse difference of one weight.

On a CPU linear layers and 1x1 convolutions are compiled loops (kernels.py). On a GPU all rows share one block-diagonal
sparse matrix, and its product with the activations is one `embedding_bag`: a sum of weighted rows, one tuned kernel
whatever the number of adapters.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.serving import kernels
from saft_core.serving.plan import Entries


def dense(entries: Entries, batch: int, size: int) -> Tensor:
    """The differences of a small parameter as float32 (batch, size)."""
    flat = torch.zeros(batch * size, dtype=entries.values.dtype, device=entries.values.device)
    flat[entries.positions.long()] = entries.values  # each position is there once
    return flat.view(batch, size)


def vector(entries: Entries, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The differences of a vector of `size` as (row of the batch, position in the vector, value), each (E,)."""
    rows = entries.rows.long()
    return rows, entries.positions.long() - rows * size, entries.values


def add_channels(y: Tensor, rows: Tensor, channels: Tensor, values: Tensor) -> None:
    """Add `values` (E,) or (E, T) to the channels `y[rows, :, channels]` of `y` (B, T, width)."""
    planes = values[:, None].expand(-1, y.shape[1]) if values.dim() == 1 else values
    y.transpose(1, 2).index_put_((rows, channels), planes, accumulate=True)


def add_vector(y: Tensor, entries: Entries) -> None:
    """Add each row's differences of a vector (width,) to all tokens of that row of `y` (B, T, width)."""
    add_channels(y, *vector(entries, y.shape[-1]))


def add_linear(y: Tensor, x: Tensor, entries: Entries) -> None:
    """Add `x @ (difference of the row).T` to `y` (B, T, out), for contiguous `x` (B, T, in)."""
    if x.device.type == "cpu":
        kernels.add_linear(y, x, entries)
    else:
        y += block_product(entries, x.transpose(1, 2), y.shape[2]).transpose(1, 2)


def block_product(entries: Entries, x: Tensor, out_width: int) -> Tensor:
    """`(difference of the row) @ x` (B, out_width, N) for `x` (B, in, N), on any device.

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
    y: Tensor, x: Tensor, kernel: torch.Size, entries: Entries, *, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    """Add a convolution with the differences to `y` (B, out, H, W); `kernel` is the weight's (out, in, kh, kw)."""
    if x.device.type == "cpu":
        kernels.add_convolution(y, x, kernel, entries, stride=stride, padding=padding)
    elif kernel[2:] == (1, 1) and stride == (1, 1) and padding == (0, 0):
        y += block_product(entries, x.flatten(2), y.shape[1]).view(y.shape)
    else:
        add_shifted_planes(y, x, kernel, entries, stride=stride, padding=padding)


def add_shifted_planes(
    y: Tensor, x: Tensor, kernel: torch.Size, entries: Entries, *, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    """As `add_convolution`, on any device: gathers a shifted plane of `x` an entry, instead of unfolding all of `x`."""
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


def add_right_product(y: Tensor, x: Tensor, shape: torch.Size, entries: Entries) -> None:
    """Add `x @ difference of the row` to `y` (B, T, out), for `x` (B, T, in) and a parameter of `shape` (in, out)."""
    rows = entries.rows.long()
    position = entries.positions.long() - rows * shape.numel()
    inner, outer = position // shape[1], position % shape[1]
    columns = x[rows, :, inner] * entries.values[:, None]
    y.transpose(1, 2).index_put_((rows, outer), columns, accumulate=True)


def add_embeddings(y: Tensor, tokens: Tensor, entries: Entries, vocabulary: int) -> None:
    """Add the differences of a table (vocabulary, width) to `y` (B, T, width) = table[tokens]."""
    width = y.shape[-1]
    wanted = (torch.arange(len(tokens), device=y.device)[:, None] * vocabulary + tokens).reshape(-1)
    held = entries.positions.long() // width
    first, last = torch.searchsorted(held, wanted), torch.searchsorted(held, wanted, right=True)
    counts = last - first
    token = torch.repeat_interleave(torch.arange(len(wanted), device=y.device), counts)
    before = torch.cumsum(counts, 0) - counts
    entry = torch.arange(len(token), device=y.device) - before[token] + first[token]
    target = token * width + entries.positions[entry].long() % width
    y.view(-1).index_add_(0, target, entries.values[entry])
