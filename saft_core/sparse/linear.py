"""Linear layers and products with a matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function
from torch.nn import functional as F

from saft_core.sparse import kernels, loops
from saft_core.sparse.arithmetic import add_bias
from saft_core.sparse.call import Call, Signature, Unsupported
from saft_core.sparse.matrix_gradient import cheapest_route, kept_for_backward, matrix_gradient
from saft_core.sparse.mixed_batch import MixedBatch
from saft_core.sparse.param_delta import ParamDelta
from saft_core.sparse.selected import SelectedEntries, Selection
from saft_core.sparse.slices import Slices

_LINEAR = Signature(input=Signature.REQUIRED, weight=Signature.REQUIRED, bias=None)
_MATMUL = Signature(input=Signature.REQUIRED, other=Signature.REQUIRED)

# Training


def gradient(selection: Selection, call: Call) -> Tensor:
    """`F.linear` with a sparse gradient of its weight and its bias."""
    x, weight, bias = _LINEAR.bind(call)
    if selection.of(x):
        raise Unsupported("its input is selected")
    if weight.dim() != 2 or (bias is not None and bias.dim() != 1):
        raise Unsupported("a weight that is no matrix")
    return gradient_linear(selection, x, weight, bias)


def gradient_linear(selection: Selection, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x W^T + b`, with whatever of W and b is selected."""
    on_weight, on_bias = selection.of(weight), selection.of(bias)
    x = cast_as_autocast(x)
    if on_weight is None:
        y = _dense(x, weight, None if on_bias else bias)
    else:
        y = SparseLinear.apply(x, weight, on_weight.values, on_weight.entries)
        y = y if bias is None or on_bias else y + bias.to(y.dtype)
    if on_bias is None:
        return y
    return SparseBias.apply(y, bias, on_bias.values, on_bias.entries)  # type: ignore[no-any-return]


def _dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`; by the kernels where no gradient of weight and bias is asked for."""
    if weight.requires_grad or (bias is not None and bias.requires_grad) or not kernels.takes(x, weight, bias):
        return F.linear(x, weight, bias)
    y: Tensor = FrozenLinear.apply(x, weight, bias)
    return y


def cast_as_autocast(x: Tensor) -> Tensor:
    """To the type that autocast would compute in, where autocast is on; it leaves float64 as it is."""
    kind = x.device.type
    lowered = torch.is_autocast_enabled(kind) and x.is_floating_point() and x.dtype != torch.float64
    return x.to(torch.get_autocast_dtype(kind)) if lowered else x


class FrozenLinear(Function):
    """`x W^T + b` for x (..., in), W (out, in) and b (out,), of which x alone has a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: D102
        ctx.save_for_backward(weight)
        return kernels.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        (weight,) = ctx.saved_tensors
        return _input_gradient(gradient, weight), None, None


class SparseLinear(Function):
    """`x W^T` for x (..., in) and W (out, in): the gradient of W at its entries, by the cheapest route."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, values: Tensor, entries: SelectedEntries) -> Tensor:  # noqa: D102
        rows = x.reshape(-1, x.shape[-1])
        ctx.route = cheapest_route(len(rows), entries.matrix.extent, x.device.type)
        ctx.entries, ctx.dtype = entries.matrix, values.dtype
        ctx.save_for_backward(kept_for_backward(rows, entries.matrix, ctx.route), weight)
        return kernels.linear(x, weight.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        kept, weight = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        dx = _input_gradient(gradient, weight) if ctx.needs_input_grad[0] else None
        return dx, None, matrix_gradient(flat, kept, ctx.entries, ctx.route).to(ctx.dtype), None


def _input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """`gradient @ W`, as a product of two matrices: a batched one with one weight is slow."""
    flat, weight = gradient.reshape(-1, gradient.shape[-1]), weight.to(gradient.dtype)
    if torch.is_grad_enabled():  # a derivative of this one is asked for
        return (flat @ weight).view(*gradient.shape[:-1], weight.shape[1])
    return kernels.linear(flat, weight.t()).view(*gradient.shape[:-1], weight.shape[1])


class SparseBias(Function):
    """`y + b` for y (..., out) and b (out,), in place; the gradient of b at its entries."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor, values: Tensor, entries: SelectedEntries) -> Tensor:  # noqa: D102
        ctx.entries, ctx.dtype = entries, values.dtype
        ctx.mark_dirty(y)
        return y.add_(bias.to(y.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        total = gradient.reshape(-1, gradient.shape[-1]).sum(0, dtype=ctx.dtype)
        return gradient, None, ctx.entries.of(total), None


# Mixed batches


def plain(call: Call) -> Tensor:
    """`F.linear` outside of training."""
    return kernels.linear(*_LINEAR.bind(call))


def mixed(batch: MixedBatch, call: Call) -> Tensor:
    """`F.linear` with each row's own weight and bias."""
    return mixed_linear(batch, *_LINEAR.bind(call))


def mixed_linear(batch: MixedBatch, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x W^T + b` of `x` (B, ..., in) with each row's own W and b."""
    x = batch.activations(x).contiguous()
    weight_delta, bias_delta = batch.delta_of(weight, 2), batch.delta_of(bias, 1)
    y = kernels.linear(x, weight, bias)
    if weight_delta is not None:
        add_linear(_tokens(y), _tokens(x), weight_delta)
    if bias_delta is not None:
        add_bias(y, bias_delta, channels_last=True)
    return y


def mixed_matmul(batch: MixedBatch, call: Call) -> Tensor:
    """`x @ matrix` of `x` (B, ..., in) with each row's own matrix."""
    x, matrix = _MATMUL.bind(call)
    if batch.tracks(matrix) and matrix.dim() == 2 and not matrix.is_contiguous():
        return mixed_linear(batch, x, batch.derive(Call(torch.t, (matrix,), {})), None)
    x = batch.activations(x).contiguous()
    delta = batch.delta_of(matrix, 2)
    y: Tensor = x @ matrix
    if delta is not None:
        add_matmul(_tokens(y), _tokens(x), delta)
    return y


def add_linear(y: Tensor, x: Tensor, delta: ParamDelta) -> None:
    """Add `x @ (delta of the row).T` to `y` (B, T, out), for `x` (B, T, in); both contiguous float32."""
    if isinstance(delta, Slices):
        loops.add_linear(y.numpy(), x.numpy(), delta, False, torch.get_num_threads())
    else:
        y += delta.matmul(x.transpose(1, 2), y.shape[2]).transpose(1, 2)


def add_matmul(y: Tensor, x: Tensor, delta: ParamDelta) -> None:
    """Add `x @ delta of the row` to `y` (B, T, out), for `x` (B, T, in) and a parameter (in, out)."""
    if isinstance(delta, Slices):
        loops.add_linear(y.numpy(), x.numpy(), delta, True, torch.get_num_threads())
        return
    rows, out = delta.rows.long(), y.shape[2]
    position = delta.positions.long() - rows * x.shape[2] * out
    columns = x[rows, :, position // out] * delta.values[:, None]
    y.transpose(1, 2).index_put_((rows, position % out), columns, accumulate=True)


def _tokens(x: Tensor) -> Tensor:
    """(B, T, width) of contiguous (B, ..., width)."""
    return x.view(len(x), -1, x.shape[-1])
