from __future__ import annotations

import pytest
from torch.testing import assert_close

from saft_core.sparse.param_delta import to_dense
from tests.fixtures.param_deltas import COUNTS, Make, either, randn, random_gathered

pytestmark = pytest.mark.gpu


def test_a_product_of_all_rows_at_once() -> None:
    delta, weights = random_gathered((6, 8), COUNTS)
    x = randn(3, 8, 4)
    assert_close(delta.matmul(x, 6), weights @ x)


@either
def test_a_delta_is_written_out(make: Make) -> None:
    delta, wanted = make((40,), COUNTS)
    assert_close(to_dense(delta, 3, 40), wanted)
