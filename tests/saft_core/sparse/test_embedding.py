from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from saft_core.sparse.embedding import add_embedding
from tests.fixtures.device import here
from tests.fixtures.param_deltas import Make, random_gathered, random_slices

pytestmark = pytest.mark.gpu

COUNTS = [5, 0, 30]
either = pytest.mark.parametrize("make", [pytest.param(random_slices, marks=pytest.mark.cpu), random_gathered])


def randn(*shape: int) -> Tensor:
    return torch.randn(shape).to(here())


@either
def test_embeddings(make: Make) -> None:
    delta, tables = make((9, 6), COUNTS)
    tokens, y = torch.randint(0, 9, (3, 5)).to(here()), randn(3, 5, 6)
    wanted = y + torch.stack([table[row] for table, row in zip(tables, tokens, strict=True)])
    add_embedding(y, tokens, delta, 9)
    assert_close(y, wanted)
