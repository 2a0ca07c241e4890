"""Sums, products and other functions of each element. In training they take the dense gradients of their parameters."""

from __future__ import annotations

import math

from torch import Tensor

from saft_core.sparse import loops
from saft_core.sparse.call import Call, Unsupported
from saft_core.sparse.mixed_batch import MixedBatch, tensors_in
from saft_core.sparse.param_delta import ParamDelta, to_dense
from saft_core.sparse.slices import Slices


def mixed_elementwise(batch: MixedBatch, call: Call) -> Tensor:
    """A function of each element by itself, of activations and of small parameters that are broadcast to them."""
    function, args, kwargs = call
    others = [tensor for tensor in tensors_in(args) if not batch.tracks(tensor)]
    if kwargs.get("out") is not None or any(isinstance(value, Tensor) for value in kwargs.values()) or not others:
        raise Unsupported("a use of this form")
    dimensions = batch.activations(max(others, key=Tensor.dim)).dim()
    rows = [batch.broadcast(a, dimensions) if isinstance(a, Tensor) and batch.tracks(a) else a for a in args]
    return function(*rows, **kwargs)  # type: ignore[no-any-return]


def mixed_in_place(batch: MixedBatch, call: Call) -> Tensor:
    """The same, written into the first argument, which must be activations."""
    if not call.args or batch.tracks(call.args[0]):
        raise Unsupported("a parameter is written to")
    return mixed_elementwise(batch, call)


def mixed_add(batch: MixedBatch, call: Call) -> Tensor:
    """A sum. Where a parameter is broadcast over the batch and over nothing else, its delta is added to the base's."""
    if not call.kwargs and len(call.args) == 2 and all(isinstance(operand, Tensor) for operand in call.args):
        x, parameter = reversed(call.args) if batch.tracks(call.args[0]) else call.args
        dim = _broadcast_dim(batch, x, parameter)
        if dim is not None:
            delta = batch.delta_of(parameter, parameter.dim())
            y: Tensor = (x + parameter).contiguous()
            if delta is not None:
                add_broadcast(y, delta, dim)
            return y
    return mixed_elementwise(batch, call)


def _broadcast_dim(batch: MixedBatch, x: Tensor, parameter: Tensor) -> int | None:
    """The batch's dimension of activations `x`, if a parameter is broadcast along that one alone."""
    if batch.tracks(x) or batch.is_constant(x) or x.dim() < parameter.dim() or not parameter.is_contiguous():
        return None
    shape = [1] * (x.dim() - parameter.dim()) + list(parameter.shape)
    along = [d for d in range(x.dim()) if shape[d] == 1 and x.shape[d] != 1]
    return along[0] if len(along) == 1 and x.shape[along[0]] == batch.size else None


def add_broadcast(y: Tensor, delta: ParamDelta, dim: int) -> None:
    """Add each row's delta of a parameter to contiguous `y`, all of it in each row.

    The rows are dimension `dim` of `y`. What is before and behind it are the parameter's dimensions.
    """
    y = y.view(-1, y.shape[dim], math.prod(y.shape[dim + 1 :]))
    outer, batch, inner = y.shape
    y += to_dense(delta, batch, outer * inner).view(batch, outer, inner).transpose(0, 1)


def add_bias(y: Tensor, delta: ParamDelta, *, channels_last: bool) -> None:
    """Add each row's delta of a vector (channels,) to contiguous `y` (B, channels, ...) or (B, ..., channels)."""
    channels = y.shape[-1 if channels_last else 1]
    if isinstance(delta, Slices):
        loops.add_vector(y.data_ptr(), channels, y.numel() // (y.shape[0] * channels), channels_last, delta)
        return
    others = [1] * (y.dim() - 2)
    y += to_dense(delta, len(y), channels).view(
        len(y), *((*others, channels) if channels_last else (channels, *others))
    )
