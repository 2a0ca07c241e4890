"""Embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function
from torch.nn import functional as F

from saft_core.sparse import loops
from saft_core.sparse.call import Call, Signature, Unsupported
from saft_core.sparse.mixed_batch import MixedBatch
from saft_core.sparse.param_delta import ParamDelta
from saft_core.sparse.selected import MatrixEntries, SelectedEntries, Selection
from saft_core.sparse.slices import Slices

_EMBEDDING = Signature.of(F.embedding)

# Training


def gradient(selection: Selection, call: Call) -> Tensor:
    """`F.embedding` with a sparse gradient of its table."""
    tokens, table, padding, max_norm, _, scale_grad_by_freq, _ = _EMBEDDING.bind(call)
    selected = selection.of(table)
    if selected is None or max_norm or scale_grad_by_freq:
        raise Unsupported("a table that is not selected, or an embedding of this form")
    row = padding + len(table) if padding is not None and padding < 0 else padding
    return SparseEmbedding.apply(tokens, table, selected.values, selected.entries, row)  # type: ignore[no-any-return]


class SparseEmbedding(Function):
    """`W[tokens]` for W (vocabulary, width): touches the rows of W that were selected and that occur, no others."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, tokens: Tensor, weight: Tensor, values: Tensor, entries: SelectedEntries, padding: int | None
    ) -> Tensor:
        ctx.entries, ctx.dtype, ctx.padding = entries.matrix, values.dtype, padding
        ctx.save_for_backward(tokens.reshape(-1))
        return F.embedding(tokens, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
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


# Mixed batches


def mixed(batch: MixedBatch, call: Call) -> Tensor:
    """`F.embedding` of tokens (B, T) with each row's own table."""
    tokens, table, _, max_norm, *_ = _EMBEDDING.bind(call)
    if max_norm is not None:
        raise Unsupported("an embedding that writes into its table")
    tokens = batch.activations(tokens)
    if tokens.dim() != 2:
        raise Unsupported(f"an embedding of tokens of shape {tuple(tokens.shape)}")
    delta = batch.delta_of(table, 2)
    y = F.embedding(tokens, table)
    if delta is not None:
        add_embedding(y, tokens, delta, len(table))
    return y


def add_embedding(y: Tensor, tokens: Tensor, delta: ParamDelta, vocabulary: int) -> None:
    """Add the delta of a table (vocabulary, width) to `y` (B, T, width) = table[tokens], contiguous float32."""
    if isinstance(delta, Slices):
        loops.add_embeddings(y.numpy(), tokens.contiguous().numpy(), delta)
        return
    width = y.shape[-1]
    wanted = (torch.arange(len(tokens), device=y.device)[:, None] * vocabulary + tokens).reshape(-1)
    touched = delta.positions.long() // width
    first, last = torch.searchsorted(touched, wanted), torch.searchsorted(touched, wanted, right=True)
    counts = last - first
    token = torch.repeat_interleave(torch.arange(len(wanted), device=y.device), counts)
    before = torch.cumsum(counts, 0) - counts
    entry = torch.arange(len(token), device=y.device) - before[token] + first[token]
    target = token * width + delta.positions[entry].long() % width
    y.view(-1).index_add_(0, target, delta.values[entry])
