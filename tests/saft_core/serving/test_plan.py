from __future__ import annotations

from dataclasses import replace

import numpy as np

from saft_core.clip.backbone import Base
from saft_core.serving.plan import Plan, Row
from saft_core.serving.resident import make_resident
from tests.fixtures.models import random_delta


def rows(base: Base) -> list[Row]:
    """Two adapters, one of them twice and at two strengths, and the base."""
    residents = [make_resident(random_delta(base, seed, count), base.flat) for seed, count in enumerate((200, 300))]
    return [Row(residents[0]), Row(None), Row(residents[1], 0.5), Row(residents[0], 0.25)]


def test_copied_and_gathered_entries_are_the_same(tiny_vit: Base) -> None:
    slots = list(range(len(tiny_vit.flat.slots)))
    plan = Plan(tiny_vit.flat, slots, rows(tiny_vit))
    positions, values, row = plan._gathered
    copied = [plan.entries(slot) for slot in slots]
    for name, gathered in (("positions", positions), ("values", values), ("rows", row)):
        joined = np.concatenate([getattr(entries, name).numpy() for entries in copied])
        np.testing.assert_array_equal(joined, gathered.numpy())


def test_adapters_of_a_base_beyond_32_bits(tiny_vit: Base) -> None:
    chosen = rows(tiny_vit)
    wide = [
        row if (r := row.resident) is None else Row(replace(r, positions=r.positions.long()), row.strength)
        for row in chosen
    ]
    for slot in range(len(tiny_vit.flat.slots)):
        narrow, other = (Plan(tiny_vit.flat, [slot], those).entries(slot) for those in (chosen, wide))
        np.testing.assert_array_equal(narrow.positions.numpy(), other.positions.numpy())
        np.testing.assert_array_equal(narrow.values.numpy(), other.values.numpy())


def test_entries_are_where_the_adapters_differ(tiny_vit: Base) -> None:
    slots = list(range(len(tiny_vit.flat.slots)))
    chosen = rows(tiny_vit)
    plan = Plan(tiny_vit.flat, slots, chosen)
    found = np.zeros((len(chosen), tiny_vit.parameter_count), np.float32)
    for slot in slots:
        entries, at = plan.entries(slot), tiny_vit.flat.slots[slot]
        of_row = entries.rows.numpy()
        found[of_row, at.offset + entries.positions.numpy() - of_row * at.size] = entries.values.numpy()
    for number, row in enumerate(chosen):
        wanted = np.zeros(tiny_vit.parameter_count, np.float32)
        if row.resident is not None:
            wanted[row.resident.positions.numpy()] = row.resident.differences(row.strength).numpy()
        np.testing.assert_array_equal(found[number], wanted)
