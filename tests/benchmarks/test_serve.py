from __future__ import annotations

from typing import Any

from benchmarks.measure import replaced
from benchmarks.serve import IDENTITY
from benchmarks.serving.batches import with_ratios


def row(bench: str, images: float, **more: Any) -> dict[str, Any]:
    return {"model": "m", "device": "cpu", "bench": bench, "images_per_second": images, **more}


def test_rows_measured_anew_take_the_place_of_the_old_ones_and_of_no_others() -> None:
    old = [row("batch", 1, mode="mixed", adapters=2), row("batch", 2, mode="swap", adapters=2), row("http", 3)]
    new = [row("batch", 4, mode="mixed", adapters=2)]
    assert sorted(r["images_per_second"] for r in replaced(old, new, IDENTITY)) == [2, 3, 4]


def test_ratios_are_to_the_base_and_to_swap_of_as_many_adapters() -> None:
    rows = with_ratios(
        [
            row("batch", 20.0, mode="base", adapters=0),
            row("batch", 16.0, mode="mixed", adapters=8),
            row("batch", 8.0, mode="swap", adapters=8),
            row("batch", 5.0, mode="mixed", adapters=2),
        ]
    )
    assert [one["to_base"] for one in rows] == [1.0, 0.8, 0.4, 0.25]
    assert [one.get("to_swap") for one in rows] == [None, 2.0, 1.0, None]
