from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from saft_core.data.probe_set import PICTURES, Probe, load_probe
from saft_core.errors import Unavailable
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


def test_a_probe_set_of_one_picture_a_concept_has_as_many_targets() -> None:
    probe = Probe(("a", "b"), load_probe().samples[:2])
    assert probe.targets.tolist() == [0, 0]
