from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.delta import SparseDelta
from saft_core.sparse.batch_delta import BatchDelta, Row
from saft_core.sparse.call import Unsupported
from saft_core.sparse.loaded_delta import load_delta
from saft_core.sparse.param_delta import to_dense
from tests.fixtures.device import here
from tests.fixtures.models import random_delta

pytestmark = pytest.mark.gpu

GATHER = [True, pytest.param(False, marks=pytest.mark.cpu)]


def rows(base: Base) -> list[Row]:
    """Two adapters, one of them twice and at two strengths, and the base."""
    deltas = [load_delta(random_delta(base, seed, count), base.flat) for seed, count in enumerate((200, 300))]
    return [Row(deltas[0]), Row(None), Row(deltas[1], 0.5), Row(deltas[0], 0.25)]


def written_out(base: Base, delta: BatchDelta) -> Tensor:
    """The differences of all parameters, float32 (rows, parameters)."""
    slots = enumerate(base.flat.slots)
    return torch.cat([to_dense(delta.of(n), delta.batch, slot.size) for n, slot in slots], dim=1)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=["of 32 bits", "of a base beyond 32 bits"])
@pytest.mark.parametrize("gather", GATHER)
def test_differences_are_what_the_adapters_hold(tiny_vit: Base, gather: bool, dtype: torch.dtype) -> None:
    chosen = [
        row if (r := row.delta) is None else replace(row, delta=replace(r, positions=r.positions.to(dtype)))
        for row in rows(tiny_vit)
    ]
    wanted = torch.zeros(len(chosen), tiny_vit.parameter_count, device=here())
    for mine, row in zip(wanted, chosen, strict=True):
        if row.delta is not None:
            mine[row.delta.positions.long()] = row.delta.scaled(row.strength)
    slots = range(len(tiny_vit.flat.slots))
    assert torch.equal(written_out(tiny_vit, BatchDelta(tiny_vit.flat, slots, chosen, gather=gather)), wanted)


@pytest.mark.parametrize("gather", GATHER)
def test_a_part_of_a_parameter_differs_as_that_part_of_it(tiny_vit: Base, gather: bool) -> None:
    delta = BatchDelta(tiny_vit.flat, range(len(tiny_vit.flat.slots)), rows(tiny_vit), gather=gather)
    number, slot = max(enumerate(tiny_vit.flat.slots), key=lambda item: item[1].size)
    whole = to_dense(delta.of(number), delta.batch, slot.size)
    for start, size in ((0, slot.size), (0, 100), (50, slot.size // 2), (slot.size - 70, 70)):
        part = to_dense(delta.of(number, (start, size)), delta.batch, size)
        assert torch.equal(part, whole[:, start : start + size])


def test_a_parameter_that_no_row_changes_is_told_apart(tiny_vit: Base) -> None:
    slot = tiny_vit.flat.slots[3]
    changed = SparseDelta(np.array([slot.offset]), np.ones(1, np.float32))
    delta = BatchDelta(tiny_vit.flat, [3, 4], [Row(None), Row(load_delta(changed, tiny_vit.flat))])
    assert delta.touched[2:5] == [False, True, False]
    with pytest.raises(Unsupported, match="other tower"):
        delta.of(5)
