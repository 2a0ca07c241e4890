from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.delta import SparseDelta
from saft_core.serving import products
from saft_core.serving.calls import Unsupported
from saft_core.serving.plan import Plan, Row
from saft_core.serving.resident import make_resident
from tests.fixtures.device import here
from tests.fixtures.models import random_delta

pytestmark = pytest.mark.gpu

GATHER = [True, pytest.param(False, marks=pytest.mark.cpu)]


def rows(base: Base) -> list[Row]:
    """Two adapters, one of them twice and at two strengths, and the base."""
    residents = [make_resident(random_delta(base, seed, count), base.flat) for seed, count in enumerate((200, 300))]
    return [Row(residents[0]), Row(None), Row(residents[1], 0.5), Row(residents[0], 0.25)]


def written_out(base: Base, plan: Plan) -> Tensor:
    """The differences of all parameters, float32 (rows, parameters)."""
    slots = enumerate(base.flat.slots)
    return torch.cat([products.dense(plan.differences(n), plan.batch, slot.size) for n, slot in slots], dim=1)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=["of 32 bits", "of a base beyond 32 bits"])
@pytest.mark.parametrize("gather", GATHER)
def test_differences_are_what_the_adapters_hold(tiny_vit: Base, gather: bool, dtype: torch.dtype) -> None:
    chosen = [
        row if (r := row.resident) is None else replace(row, resident=replace(r, positions=r.positions.to(dtype)))
        for row in rows(tiny_vit)
    ]
    wanted = torch.zeros(len(chosen), tiny_vit.parameter_count, device=here())
    for mine, row in zip(wanted, chosen, strict=True):
        if row.resident is not None:
            mine[row.resident.positions.long()] = row.resident.differences(row.strength)
    slots = range(len(tiny_vit.flat.slots))
    assert torch.equal(written_out(tiny_vit, Plan(tiny_vit.flat, slots, chosen, gather=gather)), wanted)


@pytest.mark.parametrize("gather", GATHER)
def test_a_part_of_a_parameter_differs_as_that_part_of_it(tiny_vit: Base, gather: bool) -> None:
    plan = Plan(tiny_vit.flat, range(len(tiny_vit.flat.slots)), rows(tiny_vit), gather=gather)
    number, slot = max(enumerate(tiny_vit.flat.slots), key=lambda item: item[1].size)
    whole = products.dense(plan.differences(number), plan.batch, slot.size)
    for start, size in ((0, slot.size), (0, 100), (50, slot.size // 2), (slot.size - 70, 70)):
        part = products.dense(plan.differences(number, (start, size)), plan.batch, size)
        assert torch.equal(part, whole[:, start : start + size])


def test_a_parameter_that_no_row_changes_is_told_apart(tiny_vit: Base) -> None:
    slot = tiny_vit.flat.slots[3]
    delta = SparseDelta(np.array([slot.offset]), np.ones(1, np.float32))
    plan = Plan(tiny_vit.flat, [3, 4], [Row(None), Row(make_resident(delta, tiny_vit.flat))])
    assert plan.touched[2:5] == [False, True, False]
    with pytest.raises(Unsupported, match="other tower"):
        plan.differences(5)
