from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.precision import BFLOAT16, FLOAT32, PLAIN, rows_of
from benchmarks.recipe.pictures import Labelled

SHPLAIN = Labelled(("cat", "dog"), [Path("a"), Path("b"), Path("c"), Path("d")], [0, 0, 1, 1])
SURE = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])


def test_each_way_is_compared_with_plain_torch_on_the_same_pictures() -> None:
    rounded = SURE.clone()
    rounded[3] = torch.tensor([0.4, 0.6])  # one picture more is right, and one in four is answered otherwise
    given = {PLAIN: SURE, FLOAT32: SURE.clone(), BFLOAT16: rounded}
    own, exact, bfloat16 = rows_of("tiny", "photo", [(given, SHPLAIN), (given, SHPLAIN)])
    assert [row["mode"] for row in (own, exact, bfloat16)] == [PLAIN, FLOAT32, BFLOAT16]
    assert (own["accuracy"], exact["accuracy"], bfloat16["accuracy"]) == (75.0, 75.0, 100.0)
    assert (exact["difference"], exact["same_answer"], exact["probability_moved"]) == (0.0, 100.0, 0.0)
    assert (bfloat16["difference"], bfloat16["same_answer"]) == (25.0, 75.0)
    assert bfloat16["low"] <= 25.0 <= bfloat16["high"]
    assert abs(bfloat16["probability_moved"] - 0.05) < 1e-6
