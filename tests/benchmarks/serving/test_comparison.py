from __future__ import annotations

from typing import Any

from benchmarks.serving.comparison import markdown

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
        "| base | 12.3 (0.62) | – | – |",
        "| an adapter for each, mixed | – | 1,234 (0.90) | – |",
        "| base, onnxruntime | – | – | 50 (1.00) |",
    ]
