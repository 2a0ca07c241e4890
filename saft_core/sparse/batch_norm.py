"""Batch norm outside of its training mode, in a training: `y = x * scale + shift` of each channel, with its activation.

The statistics are the base's and constant, so backward is a product with the scale. Torch passes over the activations
four times in forward and backward, once each for the norm and for an activation in place, and copies what the latter
writes over. Here it is one pass each, which saves a third of a step of a small convolutional network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function

from saft_core.sparse.affine import bounds_of
from saft_core.sparse.call import Call, Signature, Unsupported
from saft_core.sparse.loops import compiled, numbers
from saft_core.sparse.param_delta import loop_chunks
from saft_core.sparse.selected import SelectedParameter, Selection
from saft_core.sparse.slices import Integers

_BATCH_NORM = Signature.of(F.batch_norm)
_NONE = torch.empty(0, dtype=torch.int64)
Numbers = npt.NDArray[np.floating[Any]]


@dataclass(eq=False)
class Norm:
    """A batch norm and what of it is selected.

    scale, shift, mean, deviation: (channels,), in the dtype of the activations.
    weight, bias: the selected entries of its parameters, None where none are.
    activated: whether its activation follows, whose backward pass is then that of the norm too.
    """

    scale: Numbers
    shift: Numbers
    mean: Numbers
    deviation: Numbers
    weight: SelectedParameter | None
    bias: SelectedParameter | None
    activated: bool = False

    @property
    def values(self) -> tuple[Tensor | None, Tensor | None]:
        """The leaves that stand for the selected entries of weight and bias."""
        return self.weight.values if self.weight else None, self.bias.values if self.bias else None

    def gradients(self, gradient: Tensor, kept: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Those of x (B, channels, H, W), and of the selected entries of weight and bias, by operators of torch."""
        places, of_weight, of_bias = gradient.permute(0, 2, 3, 1).flatten(0, 2), None, None
        if self.weight is not None:
            channels = _channels(self.weight)
            of_weight = (places.index_select(1, channels) * kept).sum(0) / torch.from_numpy(self.deviation)[channels]
        if self.bias is not None:
            of_bias = places.index_select(1, _channels(self.bias)).sum(0)
        return gradient * torch.from_numpy(self.scale)[:, None, None], of_weight, of_bias


@dataclass(eq=False)
class DelayedNorm:
    """The batch norm `y` of `x` (B, channels, H, W) that has yet to be written, by what comes behind it.

    kept: (B * H * W, k), to become x less its mean in the channels whose weights are selected.
    """

    norm: Norm
    x: Tensor
    kept: Tensor
    y: Tensor

    def write(self, call: Call) -> Tensor | None:
        """Write it; together with `call` if that is an activation in place: its result, else None."""
        bounds = bounds_of(call, self.y) if torch.is_grad_enabled() else None
        norm, number = self.norm, self.norm.scale.dtype.type
        low, high = map(number, bounds or (-math.inf, math.inf))
        _write(
            _places(self.y), _places(self.x), norm.scale, norm.shift, low, high,
            _channels(norm.weight).numpy(), norm.mean, self.kept.numpy(), loop_chunks(),
        )  # fmt: skip
        if bounds is None:
            return None
        norm.activated = True
        activated: Tensor = Activation.apply(self.y, *norm.values, norm, self.kept, (low, high))
        return activated


def gradient(selection: Selection, call: Call) -> DelayedNorm:
    """`F.batch_norm` with a sparse gradient of its weight and its bias, delayed.

    Raises Unsupported where it normalises by the batch's statistics, or channels do not come last in a CPU's memory.
    """
    x, mean, variance, weight, bias, training, _, eps = _BATCH_NORM.bind(call)
    if training or any(not isinstance(each, Tensor) for each in (x, mean, variance, weight, bias)) or not _takes(x):
        raise Unsupported("batch norm of this form")
    if any(each.requires_grad or each.dtype != x.dtype for each in (mean, variance, weight, bias)):
        raise Unsupported("statistics or parameters of another dtype, or with a gradient of their own")
    if any(selection.of(each) for each in (x, mean, variance)):
        raise Unsupported("a parameter in another place")
    means = mean.numpy()
    scale, shift, deviation = _prepare(means, variance.numpy(), weight.numpy(), bias.numpy(), eps)
    norm = Norm(scale, shift, means, deviation, selection.of(weight), selection.of(bias))
    kept = x.new_empty(x.numel() // len(means), len(_channels(norm.weight)))
    return DelayedNorm(norm, x.detach(), kept, BatchNorm.apply(x, *norm.values, norm, kept))


def _takes(x: Tensor) -> bool:
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return last and x.numel() > 0 and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


class BatchNorm(Function):
    """The batch norm of x (B, channels, H, W); what it gives is written by a `DelayedNorm`."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm, kept: Tensor  # noqa: ARG004
    ) -> Tensor:  # fmt: skip
        ctx.norm = norm
        ctx.save_for_backward(kept)
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        if ctx.norm.activated:
            return gradient, None, None, None, None
        return *ctx.norm.gradients(gradient, *ctx.saved_tensors), None, None


class Activation(Function):
    """The activation in place of a batch norm y: values outside of the bounds are cut off. It is written already.

    Its backward pass is that of both, and the norm's own hands on what it gets.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, y: Tensor, weight: Tensor | None, bias: Tensor | None,  # noqa: ARG004
        norm: Norm, kept: Tensor, bounds: tuple[Any, Any],
    ) -> Tensor:  # fmt: skip
        ctx.norm, ctx.bounds = norm, bounds
        ctx.mark_dirty(y)
        ctx.save_for_backward(y, kept)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        y, kept = ctx.saved_tensors
        low, high = ctx.bounds
        if torch.is_grad_enabled():  # a derivative of this one is asked for
            inside = gradient * ((y > low) & (y < high))
            return *ctx.norm.gradients(inside, kept), None, None, None
        return *_activation_gradients(ctx.norm, gradient, y, kept, ctx.bounds), None, None, None


def _activation_gradients(
    norm: Norm, gradient: Tensor, y: Tensor, kept: Tensor, bounds: tuple[Any, Any]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """As `Norm.gradients`, behind the activation."""
    dx, of_weight, of_bias = torch.empty_like(y), _channels(norm.weight), _channels(norm.bias)
    chunks, (_, channels, height, width) = loop_chunks(), y.shape
    weight_sums, bias_sums = (torch.zeros(chunks, len(each), dtype=torch.float64) for each in (of_weight, of_bias))
    if gradient.stride(1) != 1 or (width > 1 and gradient.stride(3) != channels):
        gradient = gradient.contiguous(memory_format=torch.channels_last)
    strides = (gradient.stride(0) * y.itemsize, gradient.stride(2) * y.itemsize)
    _backward(
        _places(dx), gradient.data_ptr(), *strides, height, width, _places(y), norm.scale, *bounds,
        of_weight.numpy(), kept.numpy(), of_bias.numpy(), weight_sums.numpy(), bias_sums.numpy(),
    )  # fmt: skip
    return (
        dx,
        None if norm.weight is None else (weight_sums.sum(0) / torch.from_numpy(norm.deviation)[of_weight]).to(y.dtype),
        None if norm.bias is None else bias_sums.sum(0).to(y.dtype),
    )


def _channels(selected: SelectedParameter | None) -> Tensor:
    return _NONE if selected is None else selected.entries.positions


def _places(x: Tensor) -> Numbers:
    """(B * H * W, channels) of x (B, channels, H, W) with its channels last in memory."""
    return x.detach().permute(0, 2, 3, 1).view(-1, x.shape[1]).numpy()


@compiled()
def _prepare(
    mean: Numbers, variance: Numbers, weight: Numbers, bias: Numbers, eps: float
) -> tuple[Numbers, Numbers, Numbers]:
    """Scale, shift and deviation in one call, where torch takes six for so few numbers."""
    scale, shift, deviation = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    for channel in range(len(mean)):
        deviation[channel] = np.sqrt(variance[channel] + eps)
        scale[channel] = weight[channel] / deviation[channel]
        shift[channel] = bias[channel] - mean[channel] * scale[channel]
    return scale, shift, deviation


@compiled(parallel=True)
def _write(
    y: Numbers, x: Numbers, scale: Numbers, shift: Numbers, low: Any, high: Any,
    weights: Integers, means: Numbers, kept: Numbers, chunks: int,
) -> None:  # fmt: skip
    """Comparisons that are false for what is no number leave it as it is."""
    places, width = x.shape
    for chunk in numba.prange(chunks):
        for place in range(chunk * places // chunks, (chunk + 1) * places // chunks):
            for channel in range(width):
                value = x[place, channel] * scale[channel] + shift[channel]
                value = low if value < low else value
                y[place, channel] = high if value > high else value
            for entry in range(len(weights)):
                kept[place, entry] = x[place, weights[entry]] - means[weights[entry]]


@compiled(parallel=True)
def _backward(
    dx: Numbers, gradient: int, to_row: int, to_line: int, height: int, width: int, y: Numbers,
    scale: Numbers, low: Any, high: Any,
    weights: Integers, kept: Numbers, biases: Integers, weight_sums: Numbers, bias_sums: Numbers,
) -> None:  # fmt: skip
    """`gradient` is an address, of rows and lines that lie so many bytes apart: it may be a part of a padded picture.

    `weights` and `biases` are channels, and the sums (chunks, of these).
    """
    channels, chunks, lines = len(scale), len(weight_sums), len(y) // width
    nothing = scale.dtype.type(0)
    for chunk in numba.prange(chunks):
        for line in range(chunk * lines // chunks, (chunk + 1) * lines // chunks):
            address = gradient + line // height * to_row + line % height * to_line
            given = numbers(address, width * channels, scale)
            for column in range(width):
                place, of_place = line * width + column, given[column * channels : (column + 1) * channels]
                for channel in range(channels):
                    value, product = y[place, channel], of_place[channel] * scale[channel]
                    dx[place, channel] = nothing if (value <= low) | (value >= high) else product
                for entry in range(len(weights)):
                    value = y[place, weights[entry]]
                    if not (value <= low or value >= high):
                        weight_sums[chunk, entry] += of_place[weights[entry]] * kept[place, entry]
                for entry in range(len(biases)):
                    value = y[place, biases[entry]]
                    if not (value <= low or value >= high):
                        bias_sums[chunk, entry] += of_place[biases[entry]]
