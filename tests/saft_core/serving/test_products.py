"""Each product by the compiled loops and by the operators that every device has, against the dense computation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from saft_core.serving import products
from tests.fixtures.entries import random_entries

COUNTS = [5, 0, 30]


@pytest.mark.parametrize("add", [products.add_convolution, products.add_shifted_planes])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0), (0, 2)])
def test_convolution(
    add: Callable[..., None], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    entries, weights = random_entries((6, 6, *kernel), COUNTS)
    x = torch.randn(3, 6, 8, 7)
    wanted = torch.cat(
        [F.conv2d(x[row : row + 1], weights[row], stride=stride, padding=padding) for row in range(len(x))]
    )
    y = torch.ones_like(wanted)
    add(y, x, weights.shape[1:], entries, stride=stride, padding=padding)
    assert_close(y, wanted + 1)


def test_block_product() -> None:
    entries, weights = random_entries((6, 8), COUNTS)
    x = torch.randn(3, 8, 4)
    assert_close(products.block_product(entries, x, 6), weights @ x)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias: bool) -> None:
    entries, weights = random_entries((6, 8), COUNTS)
    bias_entries, biases = random_entries((6,), [1, 2, 3], seed=1)
    x, weight, shared = torch.randn(3, 4, 8), torch.randn(6, 8), torch.randn(6)
    wanted = x @ (weight + weights).transpose(1, 2)
    y = x @ weight.T
    products.add_linear(y, x, entries)
    if bias:
        y += shared
        products.add_vector(y, bias_entries)
        wanted += (shared + biases)[:, None]
    assert_close(y, wanted)


def test_right_product() -> None:
    entries, matrices = random_entries((8, 6), COUNTS)
    x = torch.randn(3, 4, 8)
    y = torch.zeros(3, 4, 6)
    products.add_right_product(y, x, matrices.shape[1:], entries)
    assert_close(y, x @ matrices)


def test_embeddings() -> None:
    entries, tables = random_entries((9, 6), COUNTS)
    tokens = torch.randint(0, 9, (3, 5))
    y = torch.zeros(3, 5, 6)
    products.add_embeddings(y, tokens, entries, 9)
    assert_close(y, torch.stack([table[row] for table, row in zip(tables, tokens, strict=True)]))
