from __future__ import annotations

import pytest
from torch.testing import assert_close

from saft_core.sparse.arithmetic import add_bias, add_broadcast
from tests.fixtures.param_deltas import COUNTS, Make, either, randn

pytestmark = pytest.mark.gpu


@either
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("others", [(), (5,), (2, 3)])
def test_bias(make: Make, last: bool, others: tuple[int, ...]) -> None:
    delta, vectors = make((40,), COUNTS)
    y = randn(3, *others, 40) if last else randn(3, 40, *others)
    wanted = y + (vectors.view(3, *(1 for _ in others), 40) if last else vectors.view(3, 40, *(1 for _ in others)))
    add_bias(y, delta, channels_last=last)
    assert_close(y, wanted)


@either
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_broadcast(make: Make, dim: int) -> None:
    delta, tables = make((5, 8), COUNTS)
    shape = [5, 8]
    shape.insert(dim, 3)
    y = randn(*shape)
    wanted = y + tables.movedim(0, dim)
    add_broadcast(y, delta, dim)
    assert_close(y, wanted)
