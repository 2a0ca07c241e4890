"""Each product by the compiled loops and by the operators that every device has, against the dense computation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from saft_core.serving import products
from tests.fixtures.differences import Make, random_entries, random_pieces

COUNTS = [5, 0, 30]
either = pytest.mark.parametrize("make", [random_pieces, random_entries])


@either
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0), (0, 2)])
def test_convolution(make: Make, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
    own, weights = make((6, 7, *kernel), COUNTS)
    x = torch.randn(3, 7, 8, 9)
    wanted = torch.cat(
        [F.conv2d(x[row : row + 1], weights[row], stride=stride, padding=padding) for row in range(len(x))]
    )
    y = torch.ones_like(wanted)
    products.add_convolution(y, x, weights.shape[1:], own, stride=stride, padding=padding)
    assert_close(y, wanted + 1)


def test_block_product() -> None:
    entries, weights = random_entries((6, 8), COUNTS)
    x = torch.randn(3, 8, 4)
    assert_close(products.block_product(entries, x, 6), weights @ x)


@either
def test_linear(make: Make) -> None:
    own, weights = make((6, 8), COUNTS)
    x, y = torch.randn(3, 5, 8), torch.randn(3, 5, 6)
    wanted = y + x @ weights.transpose(1, 2)
    products.add_linear(y, x, own)
    assert_close(y, wanted)


@either
def test_right_product(make: Make) -> None:
    own, matrices = make((8, 6), COUNTS)
    x, y = torch.randn(3, 5, 8), torch.randn(3, 5, 6)
    wanted = y + x @ matrices
    products.add_right_product(y, x, own)
    assert_close(y, wanted)


@either
def test_dense(make: Make) -> None:
    own, wanted = make((40,), COUNTS)
    assert_close(products.dense(own, 3, 40), wanted)


@either
@pytest.mark.parametrize("channels_last", [True, False])
def test_vector(make: Make, channels_last: bool) -> None:
    own, vectors = make((40,), COUNTS)
    y = torch.randn(3, 5, 40).transpose(1, 2) if channels_last else torch.randn(3, 40, 5)
    wanted = y + vectors[:, :, None]
    products.add_vector(y, own)
    assert_close(y, wanted)


@either
@pytest.mark.parametrize("channels_last", [True, False])
def test_scaled(make: Make, channels_last: bool) -> None:
    own, vectors = make((40,), COUNTS)
    y, x = torch.randn(2, 3, 5, 40).transpose(2, 3) if channels_last else torch.randn(2, 3, 40, 5)
    mean, scale = torch.randn(3, 5, 1).transpose(1, 2), torch.randn(40)[None, :, None]  # of tokens, and of channels
    wanted = y + (x - mean) * scale * vectors[:, :, None]
    products.add_scaled(y, x, mean, scale, own)
    assert_close(y, wanted)


@either
def test_embeddings(make: Make) -> None:
    own, tables = make((9, 6), COUNTS)
    tokens, y = torch.randint(0, 9, (3, 5)), torch.randn(3, 5, 6)
    wanted = y + torch.stack([table[row] for table, row in zip(tables, tokens, strict=True)])
    products.add_embeddings(y, tokens, own, 9)
    assert_close(y, wanted)
