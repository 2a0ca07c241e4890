from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.comparison import END, PAGE, START, markdown, write_into

CPU = {"device": "cpu", "model": "ViT-B-32"}


def row(bench: str, batch: int, mode: str, adapters: int, rate: float, **more: Any) -> dict[str, Any]:
    name = "texts_per_second" if bench == "texts" else "images_per_second"
    return CPU | {"bench": bench, "batch": batch, "mode": mode, "adapters": adapters, name: rate} | more


def test_the_table_has_what_was_measured_with_as_many_adapters_as_pictures() -> None:
    rows = [
        row("batch", 1, "base", 0, 12.34, vs_onnxruntime=0.617),
        row("batch", 32, "mixed", 32, 1234.5, vs_onnxruntime=0.9),
        row("batch", 32, "mixed", 8, 99.0),
        row("texts", 32, "onnxruntime", 0, 50.0, vs_onnxruntime=1.0),
        row("batch", 32, "base", 0, 7.0) | {"device": "cuda"},
        CPU | {"bench": "batch", "error": "exit 1"},
    ]
    assert markdown(rows).splitlines() == [
        "| a second (over onnxruntime) | ViT-B/32, 1 picture | ViT-B/32, 32 pictures | ViT-B/32, 32 texts |",
        "| --- | --- | --- | --- |",
        "| base, own kernels | 12.3 (0.62) | – | – |",
        "| an adapter for each, mixed | – | 1,234 (0.90) | – |",
        "| base, onnxruntime | – | – | 50 (1.00) |",
    ]


def test_the_page_gets_the_new_table_in_place_of_the_old_one_and_keeps_all_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\n| old |\n\n{END}after\n", "utf-8")
    rows = [row("batch", 32, "base", 0, 7.0)]
    for _ in range(2):
        write_into(page, rows)
        assert page.read_text("utf-8") == f"before\n{START}\n{markdown(rows)}\n\n{END}after\n"


def test_a_page_without_a_place_for_the_table_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}after\n", "utf-8")
    with pytest.raises(ValueError, match="has no place"):
        write_into(page, [])
    assert page.read_text("utf-8") == f"before\n{START}after\n"
    assert PAGE.read_text("utf-8").count(START) == PAGE.read_text("utf-8").count(END) == 1
