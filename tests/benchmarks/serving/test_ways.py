from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.measure import Measured
from benchmarks.serving.ways import Batch, rows_of, with_ratios
from saft_core.clip.backbone import Base
from saft_core.serving.encoder import IMAGE, TEXT
from saft_core.serving.forward import Forward
from saft_core.sparse.batch_delta import Row
from saft_core.sparse.loaded_delta import load_delta
from tests.fixtures.models import random_delta


def row(mode: str, adapters: int, rate: float) -> dict[str, Any]:
    return {"mode": mode, "adapters": adapters, "images_per_second": rate}


def test_ratios_are_to_the_base_to_swap_of_as_many_adapters_and_to_onnxruntime() -> None:
    made = [row("base", 0, 20.0), row("mixed", 8, 16.0), row("swap", 8, 8.0), row("mixed", 2, 5.0)]
    rows = with_ratios([*made, row("onnxruntime", 0, 40.0)])
    assert [one["to_base"] for one in rows] == [1.0, 0.8, 0.4, 0.25, 2.0]
    assert [one.get("to_swap") for one in rows] == [None, 2.0, 1.0, None, None]
    assert [one["vs_onnxruntime"] for one in rows] == [0.5, 0.4, 0.2, 0.125, 1.0]
    assert "vs_onnxruntime" not in with_ratios(made)[0]


def test_a_row_tells_throughput_and_time_of_its_batch() -> None:
    measured = {("base", 0): Measured(0.5, 0, [0.5]), ("mixed", 2): Measured(1.0, 0, [1.0])}
    common = {"model": "m", "device": "cpu", "bench": "texts"}
    base, mixed = rows_of(measured, {("mixed", 2): {"memory_bytes": 7}}, common, 4, "texts_per_second")
    assert (base["texts_per_second"], base["p50_ms"], base["batch"]) == (8.0, 500.0, 4)
    assert (mixed["memory_bytes"], mixed["to_base"]) == (7, 0.5)


@pytest.mark.parametrize("kind", [IMAGE, TEXT])
@torch.inference_mode()
def test_each_row_is_answered_by_its_own_adapter_whichever_way(tiny_vit: Base, kind: str) -> None:
    tenants = [Row(load_delta(random_delta(tiny_vit, seed), tiny_vit.flat)) for seed in range(2)]
    inputs: Any = torch.randn(4, 3, 32, 32) if kind == IMAGE else ["a", "a cat", "two", "dogs"]
    batch = Batch(Forward(tiny_vit), kind, inputs)
    base, swapped, mixed = batch.base(), batch.swap(tenants)(), batch.mixed(tenants)()
    assert (mixed - swapped).abs().max() < 1e-5
    assert ((swapped - base).abs().amax(dim=1) > 1e-5).all()
    assert torch.equal(batch.base(), base)  # nothing of a tenant stays
