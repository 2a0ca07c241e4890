from __future__ import annotations

import pytest

from saft_core.serving.costs import (
    Costs,
    Group,
    cheapest_split,
    planned_seconds,
    short_rows,
    short_seconds,
    undisturbed,
)


@pytest.mark.parametrize(
    ("forward", "rows"),
    [
        (((1, 10.0), (32, 320.0)), 1),  # the embedded base on two cores: a row costs the same in every pass
        (((1, 92.0), (2, 150.0), (8, 500.0), (32, 1871.0)), 1),  # ViT-B/32 on two cores
        (((1, 5.0), (32, 6.0)), 32),  # a GPU: a full pass takes hardly longer than a lone row
        (((1, 10.0), (2, 11.0), (8, 17.0), (32, 68.0)), 6),  # eight cores: up to eight rows for little more than one
        (((1, 50.0), (2, 80.0), (32, 96.0)), 15),  # a lone row would waste most of the engine
        (((1, 1.0), (32, 20.0)), 1),  # nothing measured
    ],
)
def test_a_short_pass_is_about_a_lone_row_unless_that_wastes_half_of_the_engine(
    forward: tuple[tuple[int, float], ...], rows: int
) -> None:
    assert short_rows(Costs(forward), 32) == rows
    assert short_rows(Costs(forward), 1) == 1


def test_a_time_that_others_made_longer_does_not_count() -> None:
    true = {1: 10.0, 2: 18.0, 8: 70.0, 32: 280.0}
    assert undisturbed(true) == tuple(true.items())
    assert undisturbed(true | {1: 500.0})[0] == (1, 18.0)
    assert undisturbed(true | {8: 900.0})[2] == (8, 72.0)
    assert undisturbed(true | {32: 900.0})[3] == (32, 280.0)


def test_rows_of_several_adapters_are_no_short_pass_unless_mixing_is_cheap() -> None:
    forward = ((1, 10.0), (2, 12.0), (32, 200.0))
    dear, cheap = Costs(forward, mixed_seconds=9.0), Costs(forward, mixed_seconds=1.0)
    one, two = [Group(2, 100)], [Group(1, 100), Group(1, 100)]
    assert planned_seconds(one, dear, mixes=True) == 12.0 <= short_seconds(dear, 32)
    assert planned_seconds(two, dear, mixes=True) == 20.0 > short_seconds(dear, 32)
    assert planned_seconds(two, cheap, mixes=True) == 13.0 <= short_seconds(cheap, 32)
    assert planned_seconds(two, cheap, mixes=False) == 20.0


def test_a_compiled_group_has_costs_of_its_own_and_comes_first() -> None:
    costs = Costs(((1, 10.0), (32, 200.0)), mixed_seconds=1.0, compiled=((1, 2.0), (8, 16.0)))
    few, many, other = Group(1, 100, compiled=True), Group(8, 100), Group(1, 100)
    assert costs.alone_seconds(few) == 2.0
    assert costs.alone_seconds(Group(16, 0, compiled=True)) == 32.0
    assert cheapest_split([("many", many), ("few", few), ("other", other)], costs) == (["few"], ["many", "other"])
    assert Costs(costs.forward).alone_seconds(few) == 10.0  # not measured yet
