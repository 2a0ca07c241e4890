"""Each convolution by the compiled loops and by the operators that every device has, against the dense computation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from saft_core.sparse.convolution import add_convolution
from saft_core.sparse.convolution_loops import Geometry
from tests.fixtures.param_deltas import COUNTS, Make, either, randn

pytestmark = pytest.mark.gpu


@either
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0), (0, 2)])
def test_convolution(make: Make, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
    delta, weights = make((6, 7, *kernel), COUNTS)
    x = randn(3, 7, 8, 9)
    wanted = torch.cat(
        [F.conv2d(x[row : row + 1], weights[row], stride=stride, padding=padding) for row in range(len(x))]
    )
    for last in (False, True):
        y, x = _ordered(torch.ones_like(wanted), last), _ordered(x, last)
        add_convolution(y, x, weights.shape[1:], delta, Geometry(stride, padding, (1, 1)))
        assert_close(y, wanted + 1)


@either
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
def test_convolution_of_groups_and_with_gaps(
    make: Make, kernel: tuple[int, int], groups: int, dilation: tuple[int, int], stride: tuple[int, int]
) -> None:
    delta, weights = make((16, 8 // groups, *kernel), [5, 0, 11])
    x = randn(3, 8, 8, 9)
    rows = [F.conv2d(x[n : n + 1], weights[n], None, stride, (1, 2), dilation, groups) for n in range(len(x))]
    for last in (False, True):
        y, x = _ordered(torch.ones_like(torch.cat(rows)), last), _ordered(x, last)
        add_convolution(y, x, weights.shape[1:], delta, Geometry(stride, (1, 2), dilation))
        assert_close(y, torch.cat(rows) + 1)


def _ordered(values: Tensor, last: bool) -> Tensor:
    """`values` (B, channels, H, W) with their channels last in memory, or not."""
    return values.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
