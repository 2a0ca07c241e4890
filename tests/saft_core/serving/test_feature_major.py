from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from saft_core.serving import feature_major, products
from saft_core.serving.plan import Entries

BATCH, TOKENS = 5, 3


def some_entries(out: int, width: int) -> Entries:
    """Of a weight (out, width): a few for each row of the batch, none for row 2."""
    generator = np.random.default_rng(0)
    size = out * width
    counts = [7, 1, 0, size // 2, 4]
    picks = [row * size + np.sort(generator.choice(size, count, replace=False)) for row, count in enumerate(counts)]
    rows = np.repeat(np.arange(BATCH), counts)
    return Entries(
        torch.from_numpy(np.concatenate(picks).astype(np.int32)),
        torch.from_numpy(generator.normal(size=len(rows)).astype(np.float32)),
        torch.from_numpy(rows.astype(np.int32)),
        np.concatenate([[0], np.cumsum(counts)]),
    )


def row_by_row(x: Tensor, weight: Tensor, bias: Tensor | None, entries: Entries) -> Tensor:
    own = weight + products.dense(entries, BATCH, weight.numel()).view(BATCH, *weight.shape)
    y = torch.einsum("bti,boi->bto", x, own)
    return y if bias is None else y + bias


@pytest.mark.parametrize("stay", [False, True])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_it_is_each_row_times_its_own_weight(stay: bool, turned: bool, with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(6, 4, generator=generator), torch.randn(6, generator=generator)
    x = torch.randn(BATCH, TOKENS, 4, generator=generator)
    given = x.permute(2, 0, 1).contiguous().permute(1, 2, 0) if turned else x
    entries = some_entries(6, 4)
    y = feature_major.linear(given, weight, bias if with_bias else None, entries, stay=stay)
    torch.testing.assert_close(y, row_by_row(x, weight, bias if with_bias else None, entries))
    assert feature_major.lies(y) == stay
    assert y.is_contiguous() != stay
