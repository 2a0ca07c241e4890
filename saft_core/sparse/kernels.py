"""Matrix products and convolutions of float32 on a CPU by oneDNN, which torch ships.

Torch hands matrix products to MKL. On AMD's processors MKL runs at half of their speed, so that ViT-B/32 took twice the
time; on Intel's both run alike. Convolutions torch hands to oneDNN by itself, but not 1 x 1 kernels over few pictures
in one thread, which took 1.5 times as long.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse.convolution_loops import Geometry


def _is_there() -> bool:
    try:
        torch.ops.mkldnn._linear_pointwise  # noqa: B018 (raises where torch was built without it)
    except AttributeError:
        return False
    return torch.backends.mkldnn.is_available()  # type: ignore[no-any-return]


ONEDNN = _is_there()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` of `x` (..., in), `weight` (out, in) and `bias` (out,), outside of autograd.

    The weight may be a transposed matrix: it takes no longer.
    """
    if weight.dim() != 2 or not takes(x, weight, bias) or x.shape[-1] != weight.shape[-1]:
        return F.linear(x, weight, bias)
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x.reshape(-1, x.shape[-1]), weight, bias, "none", [], "")
    # No view, which an autograd function may not give to one that writes over it.
    return y if x.dim() == 2 else torch.ops.aten._unsafe_view(y, (*x.shape[:-1], weight.shape[0]))


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int) -> Tensor:
    """`F.conv2d` of `x` (B, in, height, width), outside of autograd."""
    stride, padding, dilation = geometry
    if weight.dim() != 4 or not takes(x, weight, bias):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    return torch.mkldnn_convolution(x, weight, bias, padding, stride, dilation, groups)


def takes(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether oneDNN computes these here. It reads a bias as it lies at its address, without gaps or broadcasting."""
    if not ONEDNN or x.device.type != "cpu" or not x.dtype == weight.dtype == torch.float32 or x.numel() == 0:
        return False
    return bias is None or (bias.dtype == torch.float32 and bias.shape == weight.shape[:1] and bias.is_contiguous())
