"""Each convolution by the compiled loops and by the operators that every device has, against the dense computation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from saft_core.sparse.convolution import add_convolution, is_dense, own_convolutions
from saft_core.sparse.convolution_loops import Geometry
from saft_core.sparse.param_delta import ParamDelta
from tests.fixtures.param_deltas import COUNTS, Make, either, randn, random_gathered, random_slices

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


def _is_dense(delta: ParamDelta, kernel: tuple[int, ...], side: int, stride: int = 1, padding: int = 0) -> bool:
    size = torch.Size((2, 64 if kernel[1] == 1 else kernel[1], side, side))
    return is_dense(delta, torch.Size(kernel), size, Geometry((stride, stride), (padding, padding), (1, 1)))


@pytest.mark.cpu
def test_a_kernel_is_written_out_where_its_entries_meet_many_places() -> None:
    few, _ = random_slices((64, 32, 1, 1), [2, 2])
    assert not _is_dense(few, (64, 32, 1, 1), 5)
    assert _is_dense(few, (64, 32, 1, 1), 20)
    assert not _is_dense(few, (64, 32, 1, 1), 20, stride=2)  # no one product for all rows
    depthwise, _ = random_slices((64, 1, 3, 3), [9, 9])
    assert not _is_dense(depthwise, (64, 1, 3, 3), 80, padding=1)
    many, _ = random_slices((64, 1, 3, 3), [90, 90])
    assert _is_dense(many, (64, 1, 3, 3), 5, padding=1)


def test_a_gpu_never_writes_kernels_out() -> None:
    entries, _ = random_gathered((4, 4, 1, 1), [16])
    assert not _is_dense(entries, (4, 4, 1, 1), 20)


@pytest.mark.cpu
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize(
    ("kernel", "padding", "dilation", "groups"),
    [
        ((6, 8, 1, 1), (0, 0), (1, 1), 1),
        ((6, 8, 1, 1), (0, 1), (1, 1), 1),
        ((8, 4, 1, 1), (0, 0), (1, 1), 2),
        ((8, 1, 3, 3), (1, 1), (1, 1), 8),
        ((8, 1, 2, 3), (0, 2), (2, 1), 8),
        ((16, 1, 3, 3), (1, 1), (1, 1), 8),
        ((6, 8, 3, 3), (1, 0), (1, 2), 1),
    ],
)
def test_weights_that_are_written_out(
    kernel: tuple[int, ...],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    stride: tuple[int, int],
    with_bias: bool,
    last: bool,
) -> None:
    delta, weights = random_slices(kernel, COUNTS)
    weight, bias = randn(*kernel), randn(kernel[0]) if with_bias else None
    x = _ordered(randn(3, 8, 8, 9), last)
    geometry = Geometry(stride, padding, dilation)
    rows = [F.conv2d(x[n : n + 1], weight + weights[n], bias, *geometry, groups) for n in range(len(x))]
    y = own_convolutions(x, weight, bias, delta, geometry, groups)
    assert_close(y, torch.cat(rows), atol=1e-5, rtol=1e-5)


def _ordered(values: Tensor, last: bool) -> Tensor:
    """`values` (B, channels, H, W) with their channels last in memory, or not."""
    return values.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
