from __future__ import annotations

from typing import Any

from benchmarks.serving import texts
from benchmarks.serving.deltas import random_rows
from saft_core.clip.backbone import Base

TASK: dict[str, Any] = {"model": "tiny", "device": "cpu", "adapters": [1, 2], "repeats": 1, "turn_seconds": 0.0}


def test_texts_are_measured_in_turn_with_the_runtimes(tiny_vit: Base) -> None:
    rows = texts.rows_of_texts(TASK, tiny_vit, random_rows(tiny_vit, 2), ["a cat", "a dog", "two dogs", "a cow"])
    assert {(row["mode"], row["adapters"]) for row in rows} == {
        ("base", 0), ("open_clip", 0), ("onnxruntime", 0), ("openvino", 0),
        ("mixed", 1), ("mixed", 2), ("swap", 1), ("swap", 2),
    }  # fmt: skip
    assert {row["bench"] for row in rows} == {"texts"}
    assert all(row["texts_per_second"] > 0 and row["vs_onnxruntime"] > 0 for row in rows)


def test_of_one_text_there_is_no_mixed_batch(tiny_vit: Base) -> None:
    rows = texts.rows_of_texts(TASK, tiny_vit, random_rows(tiny_vit, 1), ["a cat"])
    assert {row["mode"] for row in rows} == {"base", "open_clip", "swap", "onnxruntime", "openvino"}
