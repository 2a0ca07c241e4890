"""Convolutions in training, as functions of autograd: which of their gradients are computed, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import Function

from saft_core.sparse import convolution_loops, kernels
from saft_core.sparse.convolution_loops import Geometry
from saft_core.sparse.own_convolution import is_channels_last
from saft_core.sparse.param_delta import loop_chunks
from saft_core.sparse.selected import Channels, SelectedEntries

SMALL_KERNEL = 3 * 3
"""Up to this size oneDNN is not slower at the gradient of a depthwise weight than the loop here."""


class FrozenConvolution(Function):
    """A convolution of which the input alone has a gradient."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int
    ) -> Tensor:
        ctx.form, ctx.geometry, ctx.groups = Form.of(x), geometry, groups
        ctx.save_for_backward(weight)
        return kernels.convolution(x, weight, bias, geometry, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        (weight,) = ctx.saved_tensors
        return _input_gradient(gradient, ctx.form, weight, ctx.geometry, ctx.groups), None, None, None, None


class SparseConvolution(Function):
    """A convolution in one group, or depthwise: the weight gradient of the touched channels only."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, x: Tensor, weight: Tensor, values: Tensor, entries: SelectedEntries, geometry: Geometry, groups: int
    ) -> Tensor:
        channels = entries.channels
        ctx.channels, ctx.geometry, ctx.groups, ctx.dtype = channels, geometry, groups, values.dtype
        ctx.form = Form.of(x)
        ctx.save_for_backward(_picked(x, channels.inputs if groups == 1 else channels.outputs), weight)
        return torch.conv2d(x, weight.to(x.dtype), None, *geometry, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        kept, weight = ctx.saved_tensors
        channels: Channels = ctx.channels
        dx = None
        if ctx.needs_input_grad[0]:
            dx = _input_gradient(gradient, ctx.form, weight.to(gradient.dtype), ctx.geometry, ctx.groups)
        part = _picked(gradient, channels.outputs)
        some = gradient.new_empty(len(channels.outputs), len(channels.inputs), *weight.shape[2:])
        groups = 1 if ctx.groups == 1 else len(channels.outputs)
        _, dw, _ = _backward(part, kept, some, ctx.geometry, groups, of_weight=True)
        return dx, None, dw.reshape(-1).index_select(0, channels.positions).to(ctx.dtype), None, None, None


class DepthwiseConvolution(Function):
    """A convolution of each channel by itself, in a CPU's memory with its channels last; see `takes_depthwise`."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, x: Tensor, weight: Tensor, values: Tensor, entries: SelectedEntries, geometry: Geometry
    ) -> Tensor:
        ctx.entries, ctx.geometry, ctx.dtype = entries, geometry, values.dtype
        ctx.save_for_backward(x, weight)
        return kernels.convolution(x, weight, None, geometry, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        x, weight = ctx.saved_tensors
        dx = None
        if ctx.needs_input_grad[0]:
            dx = _input_gradient(gradient, Form.of(x), weight, ctx.geometry, len(weight))
        dw = _depthwise_gradient(gradient, x, weight.shape, ctx.geometry)
        return dx, None, ctx.entries.of(dw).to(ctx.dtype), None, None


def takes_depthwise(x: Tensor, weight: Tensor) -> bool:
    """Whether `DepthwiseConvolution` takes these: on a CPU, channels last, float32 or float64."""
    last = memory_format_of(x) is torch.channels_last
    return last and x.device.type == "cpu" and x.dtype == weight.dtype and x.dtype in (torch.float32, torch.float64)


def _depthwise_gradient(gradient: Tensor, x: Tensor, kernel: torch.Size, geometry: Geometry) -> Tensor:
    """The gradient of a depthwise weight of shape `kernel`, (channels, 1, kh, kw).

    oneDNN takes up to ten times as long for kernels larger than 3 x 3, and for some of the channels longer yet.
    """
    channels, _, height, width = kernel
    if height * width <= SMALL_KERNEL and kernels.takes(x, gradient, None):
        return _backward(gradient, x, x.new_empty(kernel), geometry, channels, of_weight=True)[1]
    sums = x.new_zeros(loop_chunks(), height, width, channels)
    gradient, x = (
        values.detach().contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1) for values in (gradient, x)
    )
    convolution_loops.depthwise_gradient(sums.numpy(), gradient.numpy(), x.numpy(), geometry)
    return sums.sum(0).permute(2, 0, 1)[:, None]


class Form(NamedTuple):
    """Shape and memory format of a convolution's input."""

    shape: torch.Size
    memory_format: torch.memory_format

    @classmethod
    def of(cls, x: Tensor) -> Form:
        """That of `x` (N, channels, H, W)."""
        return cls(x.shape, memory_format_of(x))


def _input_gradient(gradient: Tensor, form: Form, weight: Tensor, geometry: Geometry, groups: int) -> Tensor:
    """The gradient of a convolution's input.

    That of a depthwise one at stride 1 is a convolution with the mirrored kernels, for which oneDNN is faster.
    """
    mirrored = None if torch.is_grad_enabled() else _mirrored(weight, geometry, groups)
    if mirrored is not None:
        return kernels.convolution(gradient, weight.flip(2, 3), None, mirrored, groups)
    x = torch.empty(form.shape, dtype=gradient.dtype, device=gradient.device, memory_format=form.memory_format)
    return _backward(gradient, x, weight, geometry, groups, of_weight=False)[0]


def _mirrored(weight: Tensor, geometry: Geometry, groups: int) -> Geometry | None:
    """Of the convolution with the mirrored kernels that is a depthwise one's backward pass; None for any other."""
    if geometry.stride != (1, 1) or groups != len(weight) or weight.shape[1] != 1:
        return None
    down, right = (
        dilation * (size - 1) - before
        for dilation, size, before in zip(geometry.dilation, weight.shape[2:], geometry.padding, strict=True)
    )
    return Geometry((1, 1), (down, right), geometry.dilation) if min(down, right) >= 0 else None


def _picked(x: Tensor, channels: Tensor) -> Tensor:
    """These channels of `x` (N, channels, height, width) as they lie.

    Where channels come last, torch's own would copy all of them first.
    """
    if len(channels) == x.shape[1]:
        return x
    if memory_format_of(x) is torch.contiguous_format:
        return x.index_select(1, channels)
    return x.permute(0, 2, 3, 1).index_select(3, channels).permute(0, 3, 1, 2)


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Channels last where a picture's channels lie so and in no other way."""
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, groups: int, *, of_weight: bool
) -> Sequence[Tensor]:
    """The gradients of a convolution's input, weight and bias: of one of the first two. torch.nn.grad's has no
    channels last.
    """
    wanted = (not of_weight, of_weight, False)
    backward = torch.ops.aten.convolution_backward
    return backward(gradient, x, weight, None, *geometry, False, (0, 0), groups, wanted)  # type: ignore[no-any-return]
