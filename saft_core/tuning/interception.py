"""Every use of a parameter, seen: selected parameters get gradients for their selected entries, whatever uses them.

A `TorchFunctionMode` sees each torch function before autograd does. Where a selected parameter is an argument of a
linear map, an attention, an embedding or a convolution, the layer of `layers` takes its place; in any other function
the parameter is replaced by a node that gathers the entries of its dense gradient. So any module and any loss will do;
code compiled by TorchScript or torch.compile is not seen and is not supported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from saft_core.tuning.layers import (
    Channels,
    DenseAndGather,
    SparseBias,
    SparseConvolution,
    SparseEmbedding,
    SparseLinear,
)
from saft_core.tuning.routes import Entries

_VIEWING_PROPERTIES = frozenset(getattr(Tensor, name).__get__ for name in ("T", "mT", "H", "mH", "real", "imag"))
_ATTENTION = inspect.signature(F.multi_head_attention_forward)
_EMBEDDING = inspect.signature(F.embedding)


@dataclass(frozen=True, eq=False)
class Selected:
    """A parameter with its selected entries; `leaf` (k,) collects their gradient."""

    parameter: Tensor
    leaf: Tensor
    entries: Entries

    def node(self) -> Tensor:
        """The parameter as an operand whose dense gradient is gathered into the leaf's."""
        return DenseAndGather.apply(self.leaf, self.parameter, self.entries)  # type: ignore[no-any-return]

    @cached_property
    def channels(self) -> Channels:
        """The touched channels of a convolution's weight."""
        return Channels(self.entries)


class Interception(TorchFunctionMode):
    """Within the context, functions of the `selected` parameters (by id) send their gradients to the leaves."""

    def __init__(self, selected: Mapping[int, Selected]) -> None:
        super().__init__()
        self._selected = selected

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not torch.is_grad_enabled() or _reads_metadata(func):
            return func(*args, **kwargs)
        special = _SPECIAL.get(func)
        if special is not None:
            result = special(self, args, kwargs)
            if result is not NotImplemented:
                return result
        return func(*self._operands(args), **{name: self._operand(value) for name, value in kwargs.items()})

    def of(self, operand: Any) -> Selected | None:
        """The selection within `operand`, if it is a selected parameter."""
        return self._selected.get(id(operand)) if isinstance(operand, Tensor) else None

    def _operands(self, args: tuple[Any, ...] | list[Any]) -> tuple[Any, ...]:
        return tuple(self._operand(arg) for arg in args)

    def _operand(self, value: Any) -> Any:
        if type(value) is list:
            return list(self._operands(value))
        if type(value) is tuple:
            return self._operands(value)
        selected = self.of(value)
        return value if selected is None else selected.node()

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x W^T + b`, with whatever of W and b is selected."""
        on_weight, on_bias = self.of(weight), self.of(bias)
        x = _cast(x)
        if on_weight is None:
            y = F.linear(x, weight, None if on_bias else bias)
        else:
            y = SparseLinear.apply(x, weight, on_weight.leaf, on_weight.entries)
            y = y if bias is None or on_bias else y + bias.to(y.dtype)
        return self._add_bias(y, on_bias)

    def _add_bias(self, y: Tensor, selected: Selected | None) -> Tensor:
        if selected is None:
            return y
        return SparseBias.apply(y, selected.parameter, selected.leaf, selected.entries)  # type: ignore[no-any-return]


def _reads_metadata(func: Any) -> bool:
    """Whether `func` only reads a property such as the shape, which has no gradient."""
    return getattr(func, "__name__", "") == "__get__" and func not in _VIEWING_PROPERTIES


def _cast(x: Tensor) -> Tensor:
    """To the type that autocast would compute in, where autocast is on; it leaves float64 as it is."""
    kind = x.device.type
    lowered = torch.is_autocast_enabled(kind) and x.is_floating_point() and x.dtype != torch.float64
    return x.to(torch.get_autocast_dtype(kind)) if lowered else x


def _linear(mode: Interception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, weight, bias = [*args, None, None, None][:3]
    weight, bias, x = kwargs.get("weight", weight), kwargs.get("bias", bias), kwargs.get("input", x)
    if (mode.of(weight) is None and mode.of(bias) is None) or mode.of(x):
        return NotImplemented
    if weight.dim() != 2 or (bias is not None and bias.dim() != 1):
        return NotImplemented
    return mode.linear(x, weight, bias)


def _embedding(mode: Interception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = _EMBEDDING.bind(*args, **kwargs).arguments
    selected = mode.of(call["weight"])
    if selected is None or any(call.get(name) for name in ("max_norm", "scale_grad_by_freq")):
        return NotImplemented
    padding = call.get("padding_idx")
    row = padding + len(call["weight"]) if padding is not None and padding < 0 else padding
    return SparseEmbedding.apply(call["input"], call["weight"], selected.leaf, selected.entries, row)


def _convolution(mode: Interception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if kwargs or len(args) < 7:
        return NotImplemented
    x, weight, bias, stride, padding, dilation, groups = args
    selected = mode.of(weight)
    if selected is None or mode.of(x) or isinstance(padding, str) or x.dim() != 4:
        return NotImplemented
    geometry = [_pair(each) for each in (stride, padding, dilation)]
    if groups == 1 and _is_patchwise(x, weight, *geometry):
        y = _patches(mode, _cast(x), weight)
    elif groups == 1 or (groups == len(weight) == x.shape[1] and selected.channels.are_few):
        y = SparseConvolution.apply(_cast(x), weight, selected.leaf, selected.channels, geometry, groups)
    else:
        return NotImplemented
    if bias is None:
        return y
    on_bias = mode.of(bias)
    return y + (on_bias.node() if on_bias else bias).to(y.dtype)[:, None, None]


def _is_patchwise(x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any) -> bool:
    """Whether the windows tile the picture, so that the convolution is one matrix product."""
    window = tuple(weight.shape[2:])
    tiles = all(size % length == 0 for size, length in zip(x.shape[2:], window, strict=True))
    return tiles and (stride, padding, dilation) == (window, (0, 0), (1, 1))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))


def _patches(mode: Interception, x: Tensor, weight: Tensor) -> Tensor:
    selected = mode.of(weight)
    assert selected is not None  # noqa: S101 (the caller looked)
    count, channels, height, width = x.shape
    tall, wide = weight.shape[2:]
    grid = x.reshape(count, channels, height // tall, tall, width // wide, wide).permute(0, 2, 4, 1, 3, 5)
    rows = grid.reshape(-1, channels * tall * wide)
    y = SparseLinear.apply(rows, weight.reshape(len(weight), -1), selected.leaf, selected.entries)
    return y.reshape(count, height // tall, width // wide, -1).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


def _attention(mode: Interception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Attention written out, selected or not: on a batch that comes first it is faster than torch's own in training."""
    call = _ATTENTION.bind(*args, **kwargs)
    call.apply_defaults()
    values = call.arguments
    if not _is_plain_attention(values):
        return NotImplemented
    queries, tokens = values["query"].transpose(0, 1), values["key"].transpose(0, 1)
    q, k, v = (
        part.reshape(*part.shape[:2], values["num_heads"], -1).transpose(1, 2)
        for part in _projections(mode, queries, tokens, values)
    )
    mask = values["attn_mask"]
    mixed = F.scaled_dot_product_attention(q, k, v, None if mask is None else mask.to(q.dtype))
    mixed = mixed.transpose(1, 2).reshape(queries.shape)
    return mode.linear(mixed, values["out_proj_weight"], values["out_proj_bias"]).transpose(0, 1), None


def _is_plain_attention(values: Mapping[str, Any]) -> bool:
    """Attention of a batch to one sequence each with at most an additive mask: what is written out here."""
    unused = ("bias_k", "bias_v", "add_zero_attn", "key_padding_mask", "need_weights", "static_k", "static_v")
    mask = values["attn_mask"]
    return (
        not any(values[name] is not None and values[name] is not False for name in (*unused, "is_causal"))
        and not (values["training"] and values["dropout_p"] > 0)
        and values["key"] is values["value"]
        and values["query"].dim() == 3
        and (mask is None or (mask.dim() == 2 and mask.is_floating_point()))
    )


def _projections(mode: Interception, queries: Tensor, tokens: Tensor, values: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """Queries (N, Lq, E), keys and values (N, L, E) each."""
    bias, packed = values["in_proj_bias"], values["in_proj_weight"]
    if not values["use_separate_proj_weight"]:
        q, k, v = mode.linear(tokens, packed, bias).chunk(3, dim=-1)
        return (q if values["query"] is values["key"] else mode.linear(queries, packed, bias).chunk(3, dim=-1)[0]), k, v
    on_bias = mode.of(bias)
    biases = [None] * 3 if bias is None else (on_bias.node() if on_bias else bias).chunk(3)
    weights = (values[f"{name}_proj_weight"] for name in "qkv")
    return tuple(
        mode.linear(x, weight, part) for x, weight, part in zip((queries, tokens, tokens), weights, biases, strict=True)
    )


_SPECIAL: dict[Any, Callable[[Interception, tuple[Any, ...], dict[str, Any]], Any]] = {
    F.linear: _linear,
    F.embedding: _embedding,
    F.conv2d: _convolution,
    F.multi_head_attention_forward: _attention,
}
