from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from saft_core.sparse.embedding import add_embedding
from tests.fixtures.device import here
from tests.fixtures.param_deltas import COUNTS, Make, either, randn

pytestmark = pytest.mark.gpu


@either
def test_embeddings(make: Make) -> None:
    delta, tables = make((9, 6), COUNTS)
    tokens, y = torch.randint(0, 9, (3, 5)).to(here()), randn(3, 5, 6)
    wanted = y + torch.stack([table[row] for table, row in zip(tables, tokens, strict=True)])
    add_embedding(y, tokens, delta, 9)
    assert_close(y, wanted)
