from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse.convolution_functions import FrozenConvolution
from saft_core.sparse.convolution_loops import Geometry

GEOMETRIES = [
    Geometry((1, 1), (2, 1), (1, 1)),
    Geometry((1, 1), (0, 3), (2, 1)),
    Geometry((2, 1), (1, 1), (1, 1)),
    Geometry((1, 1), (5, 5), (1, 1)),
]


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("groups", [1, 2, 4], ids=["one group", "two groups", "depthwise"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_frozen_convolution_has_torchs_derivatives_of_its_input_the_second_among_them(
    geometry: Geometry, groups: int, form: torch.memory_format
) -> None:
    x, weight = randn(2, 4, 9, 8).contiguous(memory_format=form), randn(4, 4 // groups, 3, 3)
    bias = randn(4) if groups == 1 else None

    def derivatives(convolve: Callable[[Tensor], Tensor]) -> list[Tensor]:
        at = x.clone().requires_grad_()
        y = convolve(at)
        (alone,) = torch.autograd.grad(y.pow(3).sum(), at, retain_graph=True)
        (first,) = torch.autograd.grad(y.pow(3).sum(), at, create_graph=True)
        return [y, alone, first, *torch.autograd.grad(first.pow(2).sum(), at)]

    for ours, torchs in zip(
        derivatives(lambda at: FrozenConvolution.apply(at, weight, bias, geometry, groups)),
        derivatives(lambda at: F.conv2d(at, weight, bias, *geometry, groups)),
        strict=True,
    ):
        torch.testing.assert_close(ours, torchs, rtol=1e-4, atol=1e-2 * float(torchs.detach().abs().mean()))
