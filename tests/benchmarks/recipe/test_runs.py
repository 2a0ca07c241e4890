from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks.recipe.journal import Journal
from benchmarks.recipe.pictures import NEW_CLASSES, Pictures
from benchmarks.recipe.runs import NEW, OLD, Bench, Remembered
from benchmarks.recipe.tasks import TAUGHT, Source
from saft_core.clip.backbone import Base
from tests.fixtures.models import make_base, pictures

CLASSES, SHOTS = ("apple", "bear", "chair", "door", "egg_cup", "fish"), 4


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    root = tmp_path_factory.mktemp("things")
    for at, (style, name) in enumerate((style, name) for style in ("photo", "sketch") for name in CLASSES):
        (root / style / name).mkdir(parents=True)
        for number, picture in enumerate(pictures(7, seed=at)):
            picture.save(root / style / name / f"{number}.png")
    return Source(Pictures.of_folders(root), "photo", SHOTS)


@pytest.fixture
def base() -> Base:
    made = make_base("vit")
    made.defaults = replace(made.defaults, encoders="text")
    return made


def test_a_half_is_taught_and_the_other_classes_are_new(source: Source) -> None:
    whole, half = source.split("all", 1), source.split("half", 1)
    new = half.tests[NEW_CLASSES]
    assert len(half.train.labels) == TAUGHT
    assert sorted(half.train.labels + new.labels) == sorted(whole.train.labels)
    assert set(half.train.files) < set(whole.train.files)
    assert not set(new.files) & {file for test in ("photo", "sketch") for file in half.tests[test].files}


def test_uneven_classes_have_a_quarter_of_the_shots_in_half_of_them(source: Source) -> None:
    whole, uneven = source.split("all", 1), source.split("uneven", 1)
    assert sorted(Counter(uneven.train.targets).values()) == [1, 1, 1, 4, 4, 4]
    assert uneven.tests == whole.tests


def test_a_run_is_measured_at_both_strengths_and_made_once(
    source: Source, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = base.flat.sha256()
    bench = Bench(base, [source], Journal(tmp_path / "runs.jsonl"))
    made = bench.outcome(source, "half", OLD, 1)
    for strength in ("full", "learned"):
        assert len(made[f"{strength} own"]) == TAUGHT * 3
        assert len(made[f"{strength} unseen sketch"]) == TAUGHT * 7
        assert len(made[f"{strength} {NEW_CLASSES}"]) == 2 * 7
        assert 0 <= made[f"{strength} auroc"][0] <= 1
    assert "learned calibrated error" in made
    assert made["seconds"] == []
    assert base.flat.sha256() == before

    monkeypatch.setattr("benchmarks.recipe.runs.adapt", None)
    again = Bench(base, [source], Journal(tmp_path / "runs.jsonl"))
    assert again.outcome(source, "half", OLD, 1) == made
    assert again.has(source, "half", OLD, 1)
    assert not again.has(source, "half", NEW, 1)


def test_a_picture_is_encoded_once(base: Base) -> None:
    passed: list[int] = []

    def encode(pixels: Tensor) -> Tensor:
        passed.append(len(pixels))
        return base.encode_pixels(pixels)

    pixels = base.pixels([Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")])
    remembered = Remembered(encode)
    with torch.inference_mode():
        remembered(pixels[:2])
    found = remembered(pixels)
    assert passed == [2, 1]
    assert torch.allclose(found, base.encode_pixels(pixels), atol=1e-6)
    found.requires_grad_()  # no inference tensor, which autograd could not use
