"""Attention, written out: its projections are linear layers, with whatever these do for their parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from saft_core.sparse import kernels
from saft_core.sparse.call import Call, Signature, Unsupported
from saft_core.sparse.linear import gradient_linear, mixed_linear
from saft_core.sparse.mixed_batch import MixedBatch
from saft_core.sparse.selected import Selection

_ATTENTION = Signature.of(F.multi_head_attention_forward)
_DOT_PRODUCT = Signature(
    query=Signature.REQUIRED, key=Signature.REQUIRED, value=Signature.REQUIRED, attn_mask=None, dropout_p=0.0,
    is_causal=False, scale=None, enable_gqa=False,
)  # fmt: skip
_UNUSED = ("bias_k", "bias_v", "add_zero_attn", "key_padding_mask", "need_weights", "static_k", "static_v", "is_causal")

Linear = Callable[[Tensor, Any, Any], Tensor]
BatchFirst = Callable[[Tensor], Tensor]
Split = Callable[[Tensor | None, Sequence[int]], Sequence[Tensor | None]]


def plain(call: Call) -> tuple[Tensor, None]:
    """`F.multi_head_attention_forward` outside of training."""

    def split(whole: Tensor | None, sizes: Sequence[int]) -> Sequence[Tensor | None]:
        return [None] * len(sizes) if whole is None else whole.split(list(sizes))

    return _attention(_ATTENTION.bind_by_name(call), kernels.linear, lambda x: x.transpose(0, 1), split)


def gradient(selection: Selection, call: Call) -> tuple[Tensor, None]:
    """`F.multi_head_attention_forward`, selected or not: in training this is faster than torch's own."""
    arguments = _ATTENTION.bind_by_name(call)
    return _attention(arguments, partial(gradient_linear, selection), lambda x: x.transpose(0, 1), selection.split)


def mixed(batch: MixedBatch, call: Call) -> tuple[Tensor, None]:
    """`F.multi_head_attention_forward` with each row's own projections."""
    arguments = _ATTENTION.bind_by_name(call)
    if (mask := arguments["attn_mask"]) is not None and batch.tracks(mask):
        raise Unsupported("attention of this form")
    return _attention(arguments, partial(mixed_linear, batch), batch.batch_first, batch.split)


def mixed_dot_product(batch: MixedBatch, call: Call) -> Tensor:
    """`F.scaled_dot_product_attention` of activations, with each row's own mask."""
    query, key, value, mask, *others = _DOT_PRODUCT.bind(call)
    query, key, value = map(batch.activations, (query, key, value))
    if mask is not None and batch.tracks(mask):
        mask = batch.broadcast(mask, query.dim())
    dropout, causal, scale, grouped = others
    return F.scaled_dot_product_attention(query, key, value, mask, dropout, causal, scale=scale, enable_gqa=grouped)


def _attention(
    arguments: Mapping[str, Any], linear: Linear, batch_first: BatchFirst, split: Split
) -> tuple[Tensor, None]:
    """Attention to one sequence a row, with at most an additive mask; activations are (tokens, batch, width).

    linear: `F.linear` of activations (B, tokens, in) and of parameters. batch_first: (B, tokens, width) of (tokens, B,
    width). split: a parameter in parts of these lengths.
    """
    _check(arguments)
    heads, mask = arguments["num_heads"], arguments["attn_mask"]
    tokens, batch, width = arguments["query"].shape
    q, k, v = (
        part.view(batch, part.shape[1], heads, -1).transpose(1, 2)
        for part in _projections(arguments, linear, batch_first, split)
    )
    if mask is not None:
        mask = mask.to(q.dtype)
        mask = mask.reshape(batch, heads, *mask.shape[1:]) if mask.dim() == 3 else mask  # of each row and head
    y = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).reshape(batch, tokens, width)
    return linear(y, arguments["out_proj_weight"], arguments["out_proj_bias"]).transpose(0, 1), None


def _check(arguments: Mapping[str, Any]) -> None:
    """Raise Unsupported for attention that is not written out here."""
    mask = arguments["attn_mask"]
    if (
        any(arguments[name] is not None and arguments[name] is not False for name in _UNUSED)
        or (arguments["training"] and arguments["dropout_p"] > 0)
        or arguments["key"] is not arguments["value"]
        or arguments["query"].dim() != 3
        or (mask is not None and not mask.is_floating_point())
    ):
        raise Unsupported("attention of this form")


def _projections(
    arguments: Mapping[str, Any], linear: Linear, batch_first: BatchFirst, split: Split
) -> Sequence[Tensor]:
    """Queries, keys and values, (batch, tokens, width) each."""
    bias, packed = arguments["in_proj_bias"], arguments["in_proj_weight"]
    separate = arguments["use_separate_proj_weight"]
    tokens = batch_first(arguments["key"])
    if arguments["query"] is arguments["key"] and not separate:
        return linear(tokens, packed, bias).chunk(3, dim=-1)
    queries = batch_first(arguments["query"])
    if separate:
        weights = [arguments[f"{name}_proj_weight"] for name in "qkv"]
        biases = split(bias, [len(weight) for weight in weights])
        return [linear(*each) for each in zip((queries, tokens, tokens), weights, biases, strict=True)]
    lengths = [queries.shape[-1], 2 * queries.shape[-1]]
    (to_q, to_kv), (q_bias, kv_bias) = split(packed, lengths), split(bias, lengths)
    return linear(queries, to_q, q_bias), *linear(tokens, to_kv, kv_bias).chunk(2, dim=-1)
