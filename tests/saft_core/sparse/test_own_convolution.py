"""Weights of a convolution that are written out for each row, by the loops and by torch, against F.conv2d of each."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from saft_core.sparse.call import Unsupported
from saft_core.sparse.convolution_loops import Geometry
from saft_core.sparse.own_convolution import MOST_WEIGHTS, by_loops, own_convolutions, pays, waiting
from saft_core.sparse.param_delta import ParamDelta
from saft_core.sparse.vectors import LANES
from tests.fixtures.param_deltas import COUNTS, randn, random_gathered, random_slices
from tests.saft_core.sparse.test_mixed_mode import Some, Use, answers, images

pytestmark = pytest.mark.gpu

ONE = Geometry((1, 1), (0, 0), (1, 1))


def activations(channels: int, height: int, width: int, *, last: bool = True) -> Tensor:
    """(3, channels, height, width)."""
    values = torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(0))
    return values.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def of_each(x: Tensor, weights: Tensor, bias: Tensor | None, geometry: Geometry, groups: int) -> Tensor:
    return torch.cat([F.conv2d(x[n : n + 1], weights[n], bias, *geometry, groups) for n in range(len(x))])


def groups_of(kernel: tuple[int, ...], channels: int) -> int:
    return channels // kernel[1]


KERNELS = {
    "as many outputs as a vector has": (LANES, 5, 1, 1),
    "outputs that are no multiple of it": (LANES * 2 + 3, 4, 1, 1),
    "of one group": (LANES + 8, 3, 3, 3),
    "oblong": (LANES, 2, 2, 3),
    "depthwise": (LANES + 8, 1, 3, 3),
    "depthwise of five": (LANES, 1, 5, 5),
    "depthwise of seven": (LANES, 1, 7, 7),
    "depthwise and oblong": (LANES * 2, 1, 5, 2),
}


@pytest.mark.cpu
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
@pytest.mark.parametrize(
    "geometry",
    [
        ONE,
        Geometry((1, 1), (2, 2), (1, 1)),
        Geometry((2, 1), (0, 1), (1, 1)),
        Geometry((1, 2), (1, 0), (2, 1)),
        Geometry((3, 2), (3, 4), (1, 2)),
    ],
)
@pytest.mark.parametrize("size", [(17, 16), (11, 9), (15, 31)])
def test_by_the_loops(kernel: tuple[int, ...], geometry: Geometry, size: tuple[int, int]) -> None:
    delta, weights = random_slices(kernel, COUNTS)
    weight, bias = randn(*kernel), randn(kernel[0])
    x = activations(kernel[0] if kernel[1] == 1 else kernel[1], *size)
    wanted = of_each(x, weight + weights, bias, geometry, groups_of(kernel, x.shape[1]))
    convolution = waiting(x, weight, bias, delta, geometry)
    scale, shift = randn(3, kernel[0]), randn(3, kernel[0])
    convolution.write(scale, shift, -math.inf, math.inf)
    assert_close(convolution.y, wanted * scale[..., None, None] + shift[..., None, None], atol=1e-4, rtol=1e-5)
    convolution.write(scale[:1], shift[:1], -0.5, 0.75)
    normed = wanted * scale[:1, :, None, None] + shift[:1, :, None, None]
    assert_close(convolution.y, normed.clamp(-0.5, 0.75), atol=1e-4, rtol=1e-5)


@pytest.mark.cpu
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (40, 40), (3, 70)])
def test_places_of_a_1_x_1_kernel_are_joined_to_lines(size: tuple[int, int]) -> None:
    delta, weights = random_slices((LANES, 6, 1, 1), COUNTS)
    weight, x = randn(LANES, 6, 1, 1), activations(6, *size)
    convolution = waiting(x, weight, None, delta, ONE)
    convolution.write(torch.ones(1, LANES), torch.zeros(1, LANES), -math.inf, math.inf)
    assert_close(convolution.y, of_each(x, weight + weights, None, ONE, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.cpu
def test_what_is_no_number_stays() -> None:
    delta, _ = random_slices((LANES, 6, 1, 1), COUNTS)
    x = activations(6, 4, 4)
    x[1, :, 2, 3] = math.nan
    convolution = waiting(x, randn(LANES, 6, 1, 1), None, delta, ONE)
    convolution.write(torch.ones(1, LANES), torch.zeros(1, LANES), 0.0, 6.0)
    assert convolution.y.isnan().nonzero()[:, [0, 2, 3]].unique(dim=0).tolist() == [[1, 2, 3]]


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
def test_by_torch(
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
    x = activations(8, 8, 9, last=last)
    geometry = Geometry(stride, padding, dilation)
    y = own_convolutions(x, weight, bias, delta, geometry, groups)
    assert_close(y, of_each(x, weight + weights, bias, geometry, groups), atol=1e-5, rtol=1e-5)


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("kernel", "channels", "groups", "taken"),
    [
        ((LANES, 8, 1, 1), 8, 1, True),
        ((LANES - 1, 8, 1, 1), 8, 1, False),
        ((LANES, MOST_WEIGHTS // LANES, 1, 1), MOST_WEIGHTS // LANES, 1, True),
        ((LANES + 1, MOST_WEIGHTS // LANES, 1, 1), MOST_WEIGHTS // LANES, 1, False),
        ((LANES, 1, 3, 3), LANES, LANES, True),
        ((2 * LANES, 1, 3, 3), LANES, LANES, False),
        ((LANES, LANES // 2, 1, 1), LANES, 2, False),
    ],
)
def test_which_kernels_the_loops_take(kernel: tuple[int, ...], channels: int, groups: int, taken: bool) -> None:
    assert by_loops(torch.Size(kernel), activations(channels, 4, 4), groups) == taken
    assert not by_loops(torch.Size(kernel), activations(channels, 4, 4, last=False), groups)


def _pays(delta: ParamDelta, kernel: tuple[int, ...], side: int, *, padding: int = 0, last: bool = True) -> bool:
    x = activations(kernel[0] if kernel[1] == 1 else kernel[1], side, side, last=last)
    geometry = Geometry((1, 1), (padding, padding), (1, 1))
    return pays(delta, torch.Size(kernel), x, geometry, groups_of(kernel, x.shape[1]))


@pytest.mark.cpu
def test_a_kernel_is_written_out_where_its_entries_meet_many_places() -> None:
    few, _ = random_slices((64, 32, 1, 1), [6, 6, 6])
    assert not _pays(few, (64, 32, 1, 1), 5)
    assert _pays(few, (64, 32, 1, 1), 20)
    assert not _pays(few, (64, 32, 1, 1), 5, last=False)
    assert _pays(few, (64, 32, 1, 1), 20, last=False)
    assert not _pays(few, (64, 32, 1, 1), 20, padding=1, last=False)  # no one product for all rows


@pytest.mark.cpu
def test_a_depthwise_kernel_is_written_out_where_most_places_are_away_from_a_border() -> None:
    few, _ = random_slices((64, 1, 3, 3), [9, 9, 9])
    assert _pays(few, (64, 1, 3, 3), 20, padding=1)
    assert not _pays(few, (64, 1, 3, 3), 5, padding=1)
    assert not _pays(few, (64, 1, 3, 3), 20, padding=1, last=False)
    many, _ = random_slices((64, 1, 3, 3), [90, 90, 90])
    assert _pays(many, (64, 1, 3, 3), 5, padding=1)


def test_a_gpu_never_writes_kernels_out() -> None:
    entries, _ = random_gathered((4, 4, 1, 1), [16])
    assert not _pays(entries, (4, 4, 1, 1), 20)


def written_out(m: Some, x: Tensor) -> Tensor:
    """(B, 16, 2, 2), channels last: half of the entries differ, and the convolution waits for what comes behind it."""
    last = images(x).contiguous(memory_format=torch.channels_last)
    return F.conv2d(last, m.wide[..., None])


def wide_norm(m: Some, y: Tensor) -> Tensor:
    return F.batch_norm(y, m.wide_mean, m.wide_variance, m.wide_vector, m.wide_vector)


def norm_behind_metadata(m: Some, x: Tensor) -> Tensor:
    y = written_out(m, x)
    assert y.shape[1] == y.size(1) == 16
    return F.relu6(wide_norm(m, y), inplace=True)


def wide_norm_of_what_is_used_after(m: Some, x: Tensor) -> Tensor:
    y = written_out(m, x)
    return wide_norm(m, y) + y


WAITING: dict[str, Use] = {
    "alone": written_out,
    "with a bias": lambda m, x: F.conv2d(
        images(x).contiguous(memory_format=torch.channels_last), m.wide[..., None], m.wide_vector
    ),
    "of another": lambda m, x: F.conv2d(
        written_out(m, x), m.each_wide[..., None], m.wide_vector, padding=(1, 0), groups=16
    ),
    "with its activation": lambda m, x: F.relu(written_out(m, x), inplace=True),
    "with its batch norm": lambda m, x: wide_norm(m, written_out(m, x)),
    "with two batch norms": lambda m, x: wide_norm(m, wide_norm(m, written_out(m, x))),
    "with a batch norm without parameters": lambda m, x: F.batch_norm(written_out(m, x), m.wide_mean, m.wide_variance),
    "with its batch norm and activation": norm_behind_metadata,
}


@pytest.mark.parametrize("use", WAITING.values(), ids=WAITING.keys())
def test_it_is_computed_before_it_is_used(use: Use) -> None:
    mixed, alone = answers(use)
    assert_close(mixed, alone, atol=1e-5, rtol=1e-5)


def test_it_is_refused_if_it_is_used_again_after_its_batch_norm() -> None:
    with pytest.raises(Unsupported, match="used again"):
        answers(wide_norm_of_what_is_used_after)
