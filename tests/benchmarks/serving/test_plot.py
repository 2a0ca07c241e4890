from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.plot import MODEL, draw

CPU = {"model": MODEL, "device": "cpu"}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [
            CPU | {"bench": "batch", "mode": "base", "batch": 32, "adapters": 0, "images_per_second": 20.0},
            CPU | {"bench": "batch", "mode": "mixed", "batch": 32, "adapters": 8, "images_per_second": 18.0},
            CPU | {"bench": "registered", "adapters": 1, "adapter_bytes": 5},
            CPU | {"bench": "registered", "adapters": 10, "p50_ms": 5.0, "p95_ms": 6.0},
            CPU | {"bench": "http", "via": "http", "concurrency": 16, "images_per_second": 9.0},
        ],
    ],
)
def test_it_draws_what_there_is(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    draw(rows, tmp_path / "plot.svg")
    assert "images / s" in (tmp_path / "plot.svg").read_text("utf-8")


def test_a_runtime_is_a_line_beside_our_batches_and_single_pictures_are_in_no_panel(tmp_path: Path) -> None:
    batch = CPU | {"bench": "batch", "batch": 32}
    rows = [
        batch | {"mode": "onnxruntime", "adapters": 0, "images_per_second": 20.0},
        batch | {"mode": "mixed", "adapters": 8, "images_per_second": 18.0},
        batch | {"mode": "swap", "batch": 1, "adapters": 1, "images_per_second": 9.0},
    ]
    draw(rows, tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text("utf-8")
    assert "base, onnxruntime" in drawn
    assert "mixed batch (ours)" in drawn
    assert "grouped swap" not in drawn
