from __future__ import annotations

from typing import Any

from benchmarks.measure import replaced
from benchmarks.serve import IDENTITY


def row(bench: str, images: float, **more: Any) -> dict[str, Any]:
    return {"model": "m", "device": "cpu", "bench": bench, "images_per_second": images, **more}


def test_rows_measured_anew_take_the_place_of_the_old_ones_and_of_no_others() -> None:
    old = [row("batch", 1, mode="mixed", adapters=2), row("batch", 2, mode="swap", adapters=2), row("http", 3)]
    new = [row("batch", 4, mode="mixed", adapters=2)]
    assert sorted(r["images_per_second"] for r in replaced(old, new, IDENTITY)) == [2, 3, 4]
