"""Padding of pictures with zeros, in training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function

from saft_core.sparse.call import Call, Signature, Unsupported
from saft_core.sparse.selected import Selection

_PAD = Signature.of(F.pad)


def gradient(selection: Selection, call: Call) -> Tensor:
    """`F.pad` of activations (B, channels, H, W) with zeros, whose channels come last in memory."""
    x, widths, mode, value = _PAD.bind(call)
    if selection.of(x) or mode != "constant" or value not in (None, 0) or len(widths) != 4 or min(widths) < 0:
        raise Unsupported("padding of this form")
    if x.dim() != 4 or x.device.type != "cpu" or not x.is_contiguous(memory_format=torch.channels_last):
        raise Unsupported("channels that do not come last in a CPU's memory")
    padded: Tensor = ZeroPad.apply(x, *widths)
    return padded


class ZeroPad(Function):
    """`x` with so many zeros on each side. Torch's writes zeros everywhere first, and copies the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:  # noqa: D102
        count, channels, height, width = x.shape
        ctx.rows, ctx.columns = slice(top, top + height), slice(left, left + width)
        size = (count, channels, top + height + bottom, left + width + right)
        y = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        y[:, :, ctx.rows, ctx.columns] = x
        y[:, :, :top] = y[:, :, top + height :] = 0
        y[:, :, ctx.rows, :left] = y[:, :, ctx.rows, left + width :] = 0
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        return gradient[:, :, ctx.rows, ctx.columns], None, None, None, None
