"""The table of torch functions that may use a parameter. Start here to add one.

A function is known by itself and never by its name: `torch.batch_norm` and `F.batch_norm` share a name and not the
order of their arguments. There are three tables:

    OPERATIONS  what a function becomes where a parameter meets activations: a line here for each function, and its
                sparse gradient and its form in a mixed batch side by side in a module for each kind
    PURE        from parameters alone to tensors: neither random, nor writing, nor reading anything else
    METADATA    what is asked does not depend on any values, as shapes do not; a condition of these may be asserted

What is in none of them: in training its dense gradients are computed; in serving a batch with it is not mixed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse import arithmetic, attention, concat, convolution, embedding, linear, norms, padding
from saft_core.sparse.call import Call, Function
from saft_core.sparse.mixed_batch import MixedBatch
from saft_core.sparse.selected import Selection


@dataclass(frozen=True)
class Operation:
    """How a torch function uses parameters.

    Both raise Unsupported for a call of another form, before they compute anything.

    gradient: the call in training, whose backward pass computes the selected entries of the weights' gradients alone.
              None: the dense gradients are computed, and the entries picked out of them.
    mixed:    the call in a mixed batch, each row with its own weights. None: a batch with this call is not mixed.
    """

    gradient: Callable[[Selection, Call], Any] | None = None
    mixed: Callable[[MixedBatch, Call], Any] | None = None


def _both(*names: str) -> list[Function]:
    """Each name's function of torch and method of a tensor, those of the two that there are."""
    return [getattr(home, name) for name in names for home in (torch, Tensor) if hasattr(home, name)]


_ELEMENTWISE = [*_both("sub", "subtract", "mul", "multiply", "div", "divide"), Tensor.__rsub__, Tensor.__rdiv__]

OPERATIONS: dict[Function, Operation] = {
    F.linear: Operation(gradient=linear.gradient, mixed=linear.mixed),
    **dict.fromkeys(_both("matmul"), Operation(mixed=linear.mixed_matmul)),
    F.conv2d: Operation(gradient=convolution.gradient, mixed=convolution.mixed),
    F.pad: Operation(gradient=padding.gradient),
    F.embedding: Operation(gradient=embedding.gradient, mixed=embedding.mixed),
    F.multi_head_attention_forward: Operation(gradient=attention.gradient, mixed=attention.mixed),
    F.scaled_dot_product_attention: Operation(mixed=attention.mixed_dot_product),
    F.layer_norm: Operation(mixed=norms.mixed_layer_norm),
    F.batch_norm: Operation(mixed=norms.mixed_batch_norm),
    torch.cat: Operation(mixed=concat.mixed),
    **dict.fromkeys(_both("add"), Operation(mixed=arithmetic.mixed_add)),
    **dict.fromkeys(_ELEMENTWISE, Operation(mixed=arithmetic.mixed_elementwise)),
    **dict.fromkeys((Tensor.add_, Tensor.sub_, Tensor.mul_, Tensor.div_), Operation(mixed=arithmetic.mixed_in_place)),
}

_VIEWS = _both(
    "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "transpose", "swapaxes", "permute",
    "movedim", "t", "unsqueeze", "squeeze", "expand", "expand_as", "broadcast_to", "chunk", "split", "unbind", "narrow",
    "select", "detach", "contiguous", "to", "float", "type_as", "clone", "repeat",
)  # fmt: skip
_VIEWING_PROPERTIES = ("T", "mT", "data")
_FROM_PARAMETERS = _both(
    "neg", "exp", "log", "sigmoid", "tanh", "sqrt", "rsqrt", "square", "softmax", "clamp", "add", "matmul"
)

PURE: frozenset[Function] = frozenset(
    [
        *_VIEWS,
        *(getattr(Tensor, name).__get__ for name in _VIEWING_PROPERTIES),
        Tensor.__getitem__,
        *_FROM_PARAMETERS,
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
    "is_mkldnn", "is_mps", "is_nested", "is_quantized", "is_sparse", "is_sparse_csr", "itemsize", "nbytes", "grad",
    "grad_fn",
)  # fmt: skip

METADATA: frozenset[Function] = frozenset(
    [
        *(getattr(Tensor, name).__get__ for name in _PROPERTIES),
        *_both("size", "dim", "stride", "numel", "nelement", "ndimension", "element_size", "storage_offset"),
        *_both("is_contiguous", "is_floating_point", "is_complex", "get_device", "__len__"),
        torch._assert,
    ]
)


def name_of(function: Function) -> str:
    """How a log names a function: with its module where it has one, for a name alone may be that of several."""
    module = getattr(function, "__module__", None)
    return ".".join(part for part in (module, getattr(function, "__name__", repr(function))) if part)
