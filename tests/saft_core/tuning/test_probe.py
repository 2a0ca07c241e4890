"""What an adapter forgets, and what a stranger is: the shipped pictures, and the figures made with them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image

from saft_core.clip.loading import load_base
from saft_core.errors import Unavailable
from saft_core.tuning.evaluation import EncodedImages
from saft_core.tuning.probe import PICTURES, Probe, Recognition, load_probe, recognise, retention, strangers
from tests.fixtures.tasks import loader, silent_meter
from tools.samples.alike import alike

SAMPLES = Path(__file__).parents[3] / "samples/photos"


def test_every_shipped_picture_is_listed_with_its_licence() -> None:
    with (PICTURES / "SOURCES.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    probe = load_probe()
    assert sorted(row["file"] for row in rows) == sorted(sample.path for sample in probe.samples)
    assert 30 <= len(probe.concepts) <= 60
    assert len(probe.samples) == 2 * len(probe.concepts)
    assert {row["licence"] for row in rows} == {"GPL-2.0-or-later", "CC-BY-4.0"}
    assert all(row["author"] and row["path"] for row in rows)
    assert sum(path.stat().st_size for path in PICTURES.rglob("*.webp")) < 400_000


def test_no_picture_is_among_the_samples() -> None:
    pictures = [*PICTURES.rglob("*.webp"), *SAMPLES.rglob("*.webp"), *SAMPLES.rglob("*.png")]
    ours = {path for pair in alike(pictures) for path in pair if PICTURES in path.parents}
    assert not ours


def test_a_folder_that_is_no_probe_set_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=str(tmp_path)):
        load_probe(tmp_path)


def test_a_folder_of_ones_own_is_read(tmp_path: Path) -> None:
    for name in ("zebra", "apple"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
        (tmp_path / name / "notes.txt").write_text("no picture")
    probe = load_probe(tmp_path)
    assert probe.concepts == ("apple", "zebra")
    assert [(sample.label, sample.path) for sample in probe.samples] == [(0, "apple/1.png"), (1, "zebra/1.png")]
    assert probe.targets.tolist() == [0, 1]


def test_the_embedded_base_recognises_more_than_half_of_it() -> None:
    base, probe = load_base(""), load_probe()
    images = EncodedImages(base, loader(base, list(probe.samples)), 32, silent_meter())
    seen = recognise(base, probe, images, base.defaults.template)
    assert seen.right(probe.targets).float().mean() > 0.5
    same = retention(probe.targets, seen, seen)
    assert same["kept"] == 1
    assert same["probe"]["image_cosine"] == pytest.approx(1, abs=1e-5)


def test_kept_is_the_share_of_what_was_recognised() -> None:
    texts = torch.eye(4)
    before = Recognition(texts[[0, 1, 2, 0]], texts)
    after = Recognition(texts[[0, 1, 0, 3]], texts)
    found = retention(torch.arange(4), before, after)
    assert found["kept"] == pytest.approx(2 / 3)
    assert found["probe"]["zero_shot_accuracy"] == found["probe"]["accuracy"] == 0.75
    assert found["probe"]["image_cosine"] == 0.5
    nothing = Recognition(texts[[1, 0, 0, 0]], texts)
    assert retention(torch.arange(4), nothing, after)["kept"] is None


def test_what_a_label_may_well_mean_is_no_stranger() -> None:
    base, probe = load_base(""), load_probe()

    def out(*labels: str) -> set[str]:
        far = strangers(base, probe, labels, base.defaults.template).tolist()
        return {probe.concepts[sample.label] for sample, one in zip(probe.samples, far, strict=True) if not one}

    assert out("cat", "dog") == set()
    assert out("guitar", "elephant") >= {"guitar", "elephant"}
    assert {"trumpet", "violin"} <= out("musical instrument") < set(probe.concepts)


def test_a_probe_set_of_one_picture_a_concept_has_as_many_targets() -> None:
    probe = Probe(("a", "b"), load_probe().samples[:2])
    assert probe.targets.tolist() == [0, 0]
