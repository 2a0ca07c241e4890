"""Layer norm and batch norm. In training they take the dense gradients of their parameters, which are small."""

from __future__ import annotations

from collections.abc import Container

import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse import loops
from saft_core.sparse.affine import Affine
from saft_core.sparse.arithmetic import add_bias
from saft_core.sparse.call import Call, Signature, Unsupported
from saft_core.sparse.mixed_batch import MixedBatch
from saft_core.sparse.param_delta import ParamDelta, to_dense
from saft_core.sparse.slices import Slices

_LAYER_NORM, _BATCH_NORM = Signature.of(F.layer_norm), Signature.of(F.batch_norm)


def mixed_layer_norm(batch: MixedBatch, call: Call) -> Tensor:
    """`F.layer_norm` over the last dimension of `x` (B, ..., width), each row with its own weight and bias."""
    x, shape, weight, bias, eps = _LAYER_NORM.bind(call)
    if len(shape) != 1:
        raise Unsupported("a normalisation over several dimensions")
    x = batch.activations(x).contiguous()
    weight_delta, bias_delta = batch.delta_of(weight, 1), batch.delta_of(bias, 1)
    y, mean, scale = torch.native_layer_norm(x, x.shape[-1:], weight, bias, eps)
    add_layer_norm(y, x, mean, scale, weight_delta, bias_delta)
    return y


def add_layer_norm(
    y: Tensor, x: Tensor, mean: Tensor, scale: Tensor, weight: ParamDelta | None, bias: ParamDelta | None
) -> None:
    """Add to `y`, a layer norm of `x`, what the deltas of its weight and of its bias add.

    All contiguous float32: y, x (B, ..., width); mean, scale (B, ..., 1), of each token.
    """
    both = _slices(weight, bias)
    if both is not None:
        tokens, width = mean.numel() // y.shape[0], y.shape[-1]
        addresses = y.data_ptr(), x.data_ptr(), mean.data_ptr(), scale.data_ptr()
        loops.add_layer_norm(*addresses, tokens, width, *both)
        return
    if weight is not None:
        of_rows = to_dense(weight, len(y), y.shape[-1]).view(len(y), *[1] * (y.dim() - 2), -1)
        y.addcmul_((x - mean) * scale, of_rows)
    if bias is not None:
        add_bias(y, bias, channels_last=True)


def plain_batch_norm(call: Call, convolved: Tensor | None, parameters: Container[int]) -> Affine:
    """`F.batch_norm` outside of training, delayed; over its input if that is what a convolution has just given.

    parameters: the model's, by their ids. A norm without any is not written over its input.

    Raises Unsupported where channels do not come last.
    """
    x, mean, variance, weight, bias, training, _, eps = _BATCH_NORM.bind(call)
    if training or not isinstance(x, Tensor) or mean is None or variance is None or not _channels_last(x):
        raise Unsupported("batch norm of this form")
    scale, shift = scale_and_shift(1, mean, variance, weight, bias, eps, None, None)
    return Affine(x if x is convolved and id(weight) in parameters else x.clone(), scale, shift)


def _channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last)


def mixed_batch_norm(batch: MixedBatch, call: Call) -> Tensor:
    """`F.batch_norm` outside of training of `x` (B, channels, ...), each row with its own weight and bias.

    It is written over its input where that is a convolution's that nothing else has seen. On a CPU, where channels come
    last, it waits for the activation behind it.
    """
    x, mean, variance, weight, bias, training, _, eps = _BATCH_NORM.bind(call)
    if training or mean is None or variance is None:
        raise Unsupported("batch norm by the batch's own statistics")
    convolution = batch.delayed.convolution_of(x)
    x, unseen, batch.unseen = batch.activations(x), batch.unseen, None
    weight_delta, bias_delta = batch.delta_of(weight, 1), batch.delta_of(bias, 1)
    last = _channels_last(x)
    if weight_delta is None and bias_delta is None and not last:
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps)
    scale, shift = scale_and_shift(len(x), mean, variance, weight, bias, eps, weight_delta, bias_delta)
    if last:
        y = batch.overwrite(x) if x is unseen else x.clone()
        batch.delayed.norm = Affine(y, scale, shift, convolution)
        return y
    of_rows = (-1, x.shape[1], *[1] * (x.dim() - 2))
    y = torch.addcmul(shift.view(of_rows), x, scale.view(of_rows), out=x if x is unseen else None)
    return batch.overwrite(x) if x is unseen else y


def scale_and_shift(
    batch: int, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float,
    weight_delta: ParamDelta | None, bias_delta: ParamDelta | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """A batch norm outside of training as each row's factors and summands, float32 (batch, channels) both.

    Without deltas (1, channels), for all rows alike.
    """
    weight = torch.ones_like(variance) if weight is None else weight
    bias = torch.zeros_like(variance) if bias is None else bias
    slices = _slices(weight_delta, bias_delta)
    if slices is not None:
        both, channels = torch.empty(2, batch, len(mean)), len(mean)
        mean, variance, weight, bias = (values.contiguous() for values in (mean, variance, weight, bias))
        of_base = mean.data_ptr(), variance.data_ptr(), weight.data_ptr(), bias.data_ptr()
        loops.scale_and_shift(both.data_ptr(), *of_base, channels, eps, *slices)
        return both[0], both[1]
    size, deviation = (batch, len(mean)), (variance + eps).sqrt()
    scale = (weight if weight_delta is None else weight + to_dense(weight_delta, *size)) / deviation
    shift = (bias if bias_delta is None else bias + to_dense(bias_delta, *size)) - mean * scale
    return scale.view(-1, len(mean)), shift.view(-1, len(mean))


def _slices(weight: ParamDelta | None, bias: ParamDelta | None) -> tuple[Slices, Slices] | None:
    """Both as slices, the one that is None as no entries; None where neither is slices."""
    given = [delta for delta in (weight, bias) if isinstance(delta, Slices)]
    if not given:
        return None
    none = given[0].none()
    return (weight if isinstance(weight, Slices) else none), (bias if isinstance(bias, Slices) else none)
