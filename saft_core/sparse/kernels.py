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
MANY_ROWS = 512
"""From so many rows on a convolution is the faster way to a product with a transposed matrix."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` of `x` (..., in), `weight` (out, in) and `bias` (out,), outside of autograd.

    The weight may be a transposed matrix: it takes no longer.
    """
    if weight.dim() != 2 or not takes(x, weight, bias) or x.shape[-1] != weight.shape[-1]:
        return F.linear(x, weight, bias)
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x.reshape(-1, x.shape[-1]), weight, bias, "none", [], "")
    # No view, which an autograd function may not give to one that writes over it.
    return y if x.dim() == 2 else torch.ops.aten._unsafe_view(y, (*x.shape[:-1], weight.shape[0]))


def transposed_product(left: Tensor, right: Tensor) -> Tensor:
    """`left^T right` (a, b) of `left` (n, a) and `right` (n, b), outside of autograd.

    As the gradient of the weight of a 1 x 1 convolution over n places, which oneDNN reads as they lie. A matrix product
    has one of the two transposed first, which for long and narrow ones takes up to five times as long.
    """
    if len(left) < MANY_ROWS or not takes(left, right, None):
        return linear(left.t(), right.t())
    gradient, x = (each.contiguous()[None, :, None].permute(0, 3, 1, 2) for each in (left, right))
    weight, geometry = left.new_empty(left.shape[1], right.shape[1], 1, 1), ((1, 1), (0, 0), (1, 1))
    backward = torch.ops.aten.convolution_backward
    product: Tensor = backward(gradient, x, weight, None, *geometry, False, (0, 0), 1, (False, True, False))[1]
    return product.view(left.shape[1], -1)


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
