"""How each torch function is called: from its arguments to the method of the mixed forward that stands in for it.

A function under a name that is not in HANDLERS is not known, and neither is a call of one in another form.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from saft_core.serving.mixed import MixedForward


class Unsupported(Exception):
    """A parameter with differences is used in a way that the mixed route does not know."""


class _Signature:
    """A function's arguments by name. `inspect` binds them too, at ten times the cost: for each layer of each batch."""

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = inspect.signature(function).parameters.values()
        self._names = [parameter.name for parameter in parameters]
        self._defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}

    def bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call that the function itself would take, defaults filled in."""
        return {**self._defaults, **dict(zip(self._names, args, strict=False)), **kwargs}


def _linear(mode: MixedForward, _: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    def named(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002 (torch's name)
        return mode.linear(input, weight, bias)

    return named(*args, **kwargs)


def _conv2d(mode: MixedForward, _: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    def named(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:  # noqa: A002, E501 # fmt: skip
        return mode.convolution(input, weight, bias, stride, padding, dilation, groups)

    return named(*args, **kwargs)


def _layer_norm(mode: MixedForward, _: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    call = _LAYER_NORM.bound(args, kwargs)
    if len(call["normalized_shape"]) != 1:
        raise Unsupported("a normalisation over several dimensions")
    return mode.layer_norm(call["input"], call["weight"], call["bias"], call["eps"])


def _batch_norm(mode: MixedForward, _: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    call = _BATCH_NORM.bound(args, kwargs)
    if call["training"]:
        raise Unsupported("batch norm in training")
    return mode.batch_norm(*(call[name] for name in ("input", "running_mean", "running_var", "weight", "bias", "eps")))


def _attention(mode: MixedForward, _: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor, None]:
    return mode.attention(_ATTENTION.bound(args, kwargs))


def _embedding(mode: MixedForward, _: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    call = _EMBEDDING.bound(args, kwargs)
    return mode.embedding(call["input"], call["weight"], call)


def _sum(mode: MixedForward, _: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    if kwargs or len(args) != 2 or not all(isinstance(item, Tensor) for item in args):
        raise Unsupported("a sum of this form")
    return mode.sum(args[0], args[1])


def _product(mode: MixedForward, _: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    if kwargs or len(args) != 2:
        raise Unsupported("a product of this form")
    return mode.matrix_product(args[0], args[1])


def _cat(mode: MixedForward, _: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    def named(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
        return mode.joined(tensors, dim)

    return named(*args, **kwargs)


_LAYER_NORM, _BATCH_NORM, _EMBEDDING, _ATTENTION = (
    _Signature(function) for function in (F.layer_norm, F.batch_norm, F.embedding, F.multi_head_attention_forward)
)
HANDLERS: dict[str, Callable[[MixedForward, Any, Sequence[Any], Mapping[str, Any]], Any]] = {
    "linear": _linear,
    "conv2d": _conv2d,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "multi_head_attention_forward": _attention,
    "embedding": _embedding,
    "add": _sum,
    "__add__": _sum,
    "__radd__": _sum,
    "matmul": _product,
    "__matmul__": _product,
    "cat": _cat,
}
