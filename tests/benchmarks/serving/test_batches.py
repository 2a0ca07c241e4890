from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.serving import batches
from saft_core.clip.backbone import Base

TASK: dict[str, Any] = {"model": "tiny", "device": "cpu", "adapters": [1, 2], "repeats": 1, "turn_seconds": 0.0}
WAYS = ["mixed", "swap", "compiled", "merged", "open_clip", "onnxruntime", "openvino"]
ALONE = {("base", 0), ("compiled", 0), ("open_clip", 0), ("onnxruntime", 0), ("openvino", 0)}


def measured(rows: Sequence[dict[str, Any]]) -> set[tuple[str, int]]:
    return {(row["mode"], row["adapters"]) for row in rows}


def test_the_runtimes_stand_beside_every_way_of_ours_for_one_picture_and_for_more(tiny_vit: Base) -> None:
    task = TASK | {"ways": WAYS}
    with batches.subject(tiny_vit, 2, WAYS) as made:
        one, two = (batches.rows_of_size(task, made, size) for size in (1, 2))
    assert measured(one) == ALONE | {(mode, 1) for mode in ("swap", "compiled", "merged")}
    of_adapters = ("mixed", "swap", "compiled", "merged")
    assert measured(two) == ALONE | {(mode, count) for mode in of_adapters for count in (1, 2)}
    assert {row["batch"] for row in one} == {1}
    assert all(row["images_per_second"] > 0 and row["vs_onnxruntime"] > 0 for row in [*one, *two])
    assert [row["difference_to_base"] < 1e-5 for row in two if "difference_to_base" in row] == [True] * 3


def test_a_gpu_has_no_rows_of_the_runtimes() -> None:
    assert batches.wanted({"device": "cuda", "ways": WAYS}) == ["mixed", "swap", "merged", "open_clip"]
    assert batches.wanted({"device": "cpu"}) == list(batches.WAYS)
