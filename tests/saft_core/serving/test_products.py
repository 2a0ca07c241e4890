"""Each product by the compiled loops and by the operators that every device has, against the dense computation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from saft_core.serving import products
from saft_core.serving.plan import Differences
from tests.fixtures.device import here
from tests.fixtures.differences import Make, random_entries, random_pieces

pytestmark = pytest.mark.gpu

COUNTS = [5, 0, 30]
either = pytest.mark.parametrize("make", [pytest.param(random_pieces, marks=pytest.mark.cpu), random_entries])


def randn(*shape: int) -> Tensor:
    return torch.randn(shape).to(here())


@either
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0), (0, 2)])
def test_convolution(make: Make, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
    own, weights = make((6, 7, *kernel), COUNTS)
    x = randn(3, 7, 8, 9)
    wanted = torch.cat(
        [F.conv2d(x[row : row + 1], weights[row], stride=stride, padding=padding) for row in range(len(x))]
    )
    for last in (False, True):
        y, x = _ordered(torch.ones_like(wanted), last), _ordered(x, last)
        products.add_convolution(y, x, weights.shape[1:], own, stride=stride, padding=padding, last=last)
        assert_close(y, wanted + 1)


@either
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
def test_convolution_of_groups_and_with_gaps(
    make: Make, kernel: tuple[int, int], groups: int, dilation: tuple[int, int], stride: tuple[int, int]
) -> None:
    own, weights = make((16, 8 // groups, *kernel), [5, 0, 11])
    x = randn(3, 8, 8, 9)
    rows = [F.conv2d(x[n : n + 1], weights[n], None, stride, (1, 2), dilation, groups) for n in range(len(x))]
    for last in (False, True):
        y, x = _ordered(torch.ones_like(torch.cat(rows)), last), _ordered(x, last)
        form = {"stride": stride, "padding": (1, 2), "dilation": dilation}
        products.add_convolution(y, x, weights.shape[1:], own, **form, last=last)
        assert_close(y, torch.cat(rows) + 1)


def _is_dense(own: Differences, kernel: tuple[int, ...], side: int, stride: int = 1, padding: int = 0) -> bool:
    size = torch.Size((2, 64 if kernel[1] == 1 else kernel[1], side, side))
    return products.is_dense(own, torch.Size(kernel), size, (stride, stride), (padding, padding))


@pytest.mark.cpu
def test_a_kernel_is_written_out_where_its_entries_meet_many_places() -> None:
    few, _ = random_pieces((64, 32, 1, 1), [2, 2])
    assert not _is_dense(few, (64, 32, 1, 1), 5)
    assert _is_dense(few, (64, 32, 1, 1), 20)
    assert not _is_dense(few, (64, 32, 1, 1), 20, stride=2)  # no one product for all rows
    depthwise, _ = random_pieces((64, 1, 3, 3), [9, 9])
    assert not _is_dense(depthwise, (64, 1, 3, 3), 80, padding=1)
    many, _ = random_pieces((64, 1, 3, 3), [90, 90])
    assert _is_dense(many, (64, 1, 3, 3), 5, padding=1)


def test_a_gpu_never_writes_kernels_out() -> None:
    entries, _ = random_entries((4, 4, 1, 1), [16])
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
    own, weights = random_pieces(kernel, COUNTS)
    weight, bias = randn(*kernel), randn(kernel[0]) if with_bias else None
    x = _ordered(randn(3, 8, 8, 9), last)
    form: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    rows = [F.conv2d(x[n : n + 1], weight + weights[n], bias, **form) for n in range(len(x))]
    y = products.own_convolutions(x, weight, bias, own, **form)
    assert_close(y, torch.cat(rows), atol=1e-5, rtol=1e-5)


def _ordered(values: Tensor, last: bool) -> Tensor:
    """`values` (B, channels, H, W) with their channels last in memory, or not."""
    return values.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def test_block_product() -> None:
    entries, weights = random_entries((6, 8), COUNTS)
    x = randn(3, 8, 4)
    assert_close(products.block_product(entries, x, 6), weights @ x)


@either
def test_linear(make: Make) -> None:
    own, weights = make((6, 8), COUNTS)
    x, y = randn(3, 5, 8), randn(3, 5, 6)
    wanted = y + x @ weights.transpose(1, 2)
    products.add_linear(y, x, own)
    assert_close(y, wanted)


@either
def test_right_product(make: Make) -> None:
    own, matrices = make((8, 6), COUNTS)
    x, y = randn(3, 5, 8), randn(3, 5, 6)
    wanted = y + x @ matrices
    products.add_right_product(y, x, own)
    assert_close(y, wanted)


@either
def test_dense(make: Make) -> None:
    own, wanted = make((40,), COUNTS)
    assert_close(products.dense(own, 3, 40), wanted)


@either
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("others", [(), (5,), (2, 3)])
def test_vector(make: Make, last: bool, others: tuple[int, ...]) -> None:
    own, vectors = make((40,), COUNTS)
    y = randn(3, *others, 40) if last else randn(3, 40, *others)
    wanted = y + (vectors.view(3, *(1 for _ in others), 40) if last else vectors.view(3, 40, *(1 for _ in others)))
    products.add_vector(y, own, last=last)
    assert_close(y, wanted)


@either
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_spread(make: Make, dim: int) -> None:
    own, tables = make((5, 8), COUNTS)
    shape = [5, 8]
    shape.insert(dim, 3)
    y = randn(*shape)
    wanted = y + tables.movedim(0, dim)
    products.add_spread(y, own, dim)
    assert_close(y, wanted)


def _weight_and_bias(make: Make, which: str) -> tuple[tuple[Differences | None, Differences | None], Tensor, Tensor]:
    """Differences of both, or of one alone, and the same densely, (B, 40) each."""
    (weight, weights), (bias, biases) = make((40,), COUNTS, seed=1), make((40,), COUNTS, seed=2)
    if which == "weight":
        return (weight, None), weights, torch.zeros_like(biases)
    if which == "bias":
        return (None, bias), torch.zeros_like(weights), biases
    return (weight, bias), weights, biases


@either
@pytest.mark.parametrize("which", ["weight", "bias", "both"])
@pytest.mark.parametrize("tokens", [(), (5,)])
def test_layer_norm(make: Make, which: str, tokens: tuple[int, ...]) -> None:
    own, weights, biases = _weight_and_bias(make, which)
    x = randn(3, *tokens, 40)
    weight, bias = randn(40), randn(40)
    wanted = [F.layer_norm(x[row], (40,), weight + weights[row], bias + biases[row]) for row in range(3)]
    y, mean, scale = torch.native_layer_norm(x, (40,), weight, bias, 1e-5)
    products.add_layer_norm(y, x, mean, scale, *own)
    assert_close(y, torch.stack(wanted))


@either
@pytest.mark.parametrize("which", ["weight", "bias", "both"])
@pytest.mark.parametrize("plane", [(), (5,), (2, 3)])
def test_batch_norm(make: Make, which: str, plane: tuple[int, ...]) -> None:
    own, weights, biases = _weight_and_bias(make, which)
    x, mean, variance = randn(3, 40, *plane), randn(40), torch.rand(40).to(here()) + 0.1
    weight, bias = randn(40), randn(40)

    def normed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.batch_norm(x, mean, variance, weight, bias, eps=1e-3)

    wanted = [normed(x[row : row + 1], weight + weights[row], bias + biases[row]) for row in range(3)]
    for memory in (x, x.movedim(1, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 1)):
        y = products.own_batch_norm(memory, mean, variance, weight, bias, 1e-3, *own)
        assert_close(y, torch.cat(wanted))
        assert y.stride() == memory.stride()


@pytest.mark.cpu
def test_batch_norm_without_parameters_of_its_own() -> None:
    own, weights = random_pieces((40,), COUNTS)
    x, mean, variance = randn(3, 40, 2, 3), randn(40), torch.rand(40).to(here()) + 0.1
    wanted = [F.batch_norm(x[row : row + 1], mean, variance, 1 + weights[row]) for row in range(3)]
    assert_close(products.own_batch_norm(x, mean, variance, None, None, 1e-5, own, None), torch.cat(wanted))


@either
def test_embeddings(make: Make) -> None:
    own, tables = make((9, 6), COUNTS)
    tokens, y = torch.randint(0, 9, (3, 5)).to(here()), randn(3, 5, 6)
    wanted = y + torch.stack([table[row] for table, row in zip(tables, tokens, strict=True)])
    products.add_embeddings(y, tokens, own, 9)
    assert_close(y, wanted)
