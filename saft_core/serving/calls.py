"""What may be done to a parameter in a mixed batch, by the function itself and never by its name.

`torch.batch_norm` and `F.batch_norm` share a name and not the order of their arguments, so a name tells nothing. A
function is in one of three tables, or it is not known and the batch takes the swap route:

    HANDLERS    a parameter meets activations: the method of the mixed forward that stands in for the function
    PURE        from parameters alone to tensors: neither random, nor writing, nor reading anything else
    METADATA    what is asked does not depend on the parameter's values
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from saft_core.serving.mixed import MixedForward

Function = Callable[..., Any]
Handler = Callable[["MixedForward", Function, Sequence[Any], Mapping[str, Any]], Any]


class Unsupported(Exception):
    """A parameter is used in a way that the mixed route does not know."""


class Signature:
    """A function's arguments by name. `inspect` binds them too, at ten times the cost: for each layer of each batch."""

    def __init__(self, names: Sequence[str], defaults: Mapping[str, Any]) -> None:
        self._names, self._defaults = names, defaults
        self._known = frozenset(names)

    @classmethod
    def of(cls, function: Function) -> Signature:
        """That of a function written in Python; those written in C do not tell theirs."""
        parameters = inspect.signature(function).parameters.values()
        return cls(
            [p.name for p in parameters],
            {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty},
        )

    def bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call, defaults filled in. Raises Unsupported for one of another form."""
        if len(args) > len(self._names) or (kwargs and not kwargs.keys() <= self._known):
            raise Unsupported("arguments of another form")
        return {**self._defaults, **dict(zip(self._names, args, strict=False)), **kwargs}


_LINEAR = Signature(("input", "weight", "bias"), {"bias": None})
_CONV2D = Signature(
    ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1},
)
_CAT = Signature(("tensors", "dim"), {"dim": 0})
_PRODUCT = Signature(("input", "other"), {})
_DOT_PRODUCT = Signature(
    ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa"),
    {"attn_mask": None, "dropout_p": 0.0, "is_causal": False, "scale": None, "enable_gqa": False},
)
_LAYER_NORM, _BATCH_NORM, _EMBEDDING, _ATTENTION = (
    Signature.of(function) for function in (F.layer_norm, F.batch_norm, F.embedding, F.multi_head_attention_forward)
)


def _linear(mode: MixedForward, _: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    call = _LINEAR.bound(args, kwargs)
    return mode.linear(call["input"], call["weight"], call["bias"])


def _conv2d(mode: MixedForward, _: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    return mode.convolution(_CONV2D.bound(args, kwargs))


def _layer_norm(mode: MixedForward, _: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    call = _LAYER_NORM.bound(args, kwargs)
    if len(call["normalized_shape"]) != 1:
        raise Unsupported("a normalisation over several dimensions")
    return mode.layer_norm(call["input"], call["weight"], call["bias"], call["eps"])


def _batch_norm(mode: MixedForward, _: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    call = _BATCH_NORM.bound(args, kwargs)
    if call["training"] or call["running_mean"] is None or call["running_var"] is None:
        raise Unsupported("batch norm by the batch's own statistics")
    return mode.batch_norm(*(call[name] for name in ("input", "running_mean", "running_var", "weight", "bias", "eps")))


def _attention(mode: MixedForward, _: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor, None]:
    return mode.attention(_ATTENTION.bound(args, kwargs))


def _embedding(mode: MixedForward, _: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    call = _EMBEDDING.bound(args, kwargs)
    if call["max_norm"] is not None:
        raise Unsupported("an embedding that writes into its table")
    return mode.embedding(call["input"], call["weight"])


def _sum(mode: MixedForward, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    if not kwargs and len(args) == 2 and all(isinstance(item, Tensor) for item in args):
        found = mode.sum(args[0], args[1])
        if found is not None:
            return found
    return mode.elementwise(function, args, kwargs)


def _elementwise(mode: MixedForward, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    return mode.elementwise(function, args, kwargs)


def _in_place(mode: MixedForward, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    if not args or mode.watches(args[0]):
        raise Unsupported("a parameter is written to")
    return mode.elementwise(function, args, kwargs)


def _product(mode: MixedForward, _: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    call = _PRODUCT.bound(args, kwargs)
    return mode.matrix_product(call["input"], call["other"])


def _cat(mode: MixedForward, _: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    call = _CAT.bound(args, kwargs)
    return mode.joined(call["tensors"], call["dim"])


def _dot_product(mode: MixedForward, _: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    return mode.scaled_dot_product(_DOT_PRODUCT.bound(args, kwargs))


def _both(*names: str) -> list[Function]:
    """Each name's function of torch and method of a tensor, those of the two that there are."""
    return [getattr(home, name) for name in names for home in (torch, Tensor) if hasattr(home, name)]


_ELEMENTWISE = [*_both("sub", "subtract", "mul", "multiply", "div", "divide"), Tensor.__rsub__, Tensor.__rdiv__]

HANDLERS: dict[Function, Handler] = {
    F.linear: _linear,
    F.conv2d: _conv2d,
    F.layer_norm: _layer_norm,
    F.batch_norm: _batch_norm,
    F.multi_head_attention_forward: _attention,
    F.scaled_dot_product_attention: _dot_product,
    F.embedding: _embedding,
    torch.cat: _cat,
    **dict.fromkeys(_both("add"), _sum),
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys((Tensor.add_, Tensor.sub_, Tensor.mul_, Tensor.div_), _in_place),
    **dict.fromkeys(_both("matmul"), _product),
}

_VIEWS = _both(
    "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "transpose", "swapaxes", "permute",
    "movedim", "t", "unsqueeze", "squeeze", "expand", "expand_as", "broadcast_to", "chunk", "split", "unbind", "narrow",
    "select", "detach", "contiguous", "to", "float", "type_as", "clone", "repeat",
)  # fmt: skip
_VIEWING_PROPERTIES = ("T", "mT", "data")
_ARITHMETIC = _both(
    "neg", "exp", "log", "sigmoid", "tanh", "sqrt", "rsqrt", "square", "softmax", "clamp", "add", "matmul"
)

PURE: frozenset[Function] = frozenset(
    [
        *_VIEWS,
        *(getattr(Tensor, name).__get__ for name in _VIEWING_PROPERTIES),
        Tensor.__getitem__,
        *_ARITHMETIC,
        *_ELEMENTWISE,
        torch.cat,
        torch.stack,
        F.linear,
        F.layer_norm,
        F.embedding,
        F.softplus,
        F.softmax,
        F.interpolate,
    ]
)

_PROPERTIES = (
    "shape", "ndim", "dtype", "device", "layout", "requires_grad", "is_leaf", "is_cpu", "is_cuda", "is_meta",
    "is_mkldnn", "is_mps", "is_nested", "is_quantized", "is_sparse", "is_sparse_csr", "itemsize", "nbytes", "grad_fn",
)  # fmt: skip

METADATA: frozenset[Function] = frozenset(
    [
        *(getattr(Tensor, name).__get__ for name in _PROPERTIES),
        *_both("size", "dim", "stride", "numel", "nelement", "ndimension", "element_size", "storage_offset"),
        *_both("is_contiguous", "is_floating_point", "is_complex", "get_device", "__len__"),
    ]
)


def name_of(function: Function) -> str:
    """How a log names a function: with its module where it has one, for a name alone may be that of several."""
    module = getattr(function, "__module__", None)
    return ".".join(part for part in (module, getattr(function, "__name__", repr(function))) if part)
