from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from saft_core.sparse.param_delta import to_dense
from tests.fixtures.device import here
from tests.fixtures.param_deltas import Make, random_gathered, random_slices

pytestmark = pytest.mark.gpu

COUNTS = [5, 0, 30]
either = pytest.mark.parametrize("make", [pytest.param(random_slices, marks=pytest.mark.cpu), random_gathered])


def randn(*shape: int) -> Tensor:
    return torch.randn(shape).to(here())


def test_a_product_of_all_rows_at_once() -> None:
    delta, weights = random_gathered((6, 8), COUNTS)
    x = randn(3, 8, 4)
    assert_close(delta.matmul(x, 6), weights @ x)


@either
def test_a_delta_is_written_out(make: Make) -> None:
    delta, wanted = make((40,), COUNTS)
    assert_close(to_dense(delta, 3, 40), wanted)
