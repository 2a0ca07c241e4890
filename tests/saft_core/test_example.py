"""The shipped example is what it says: photographs with their sources, and an adapter with the figures it states."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from saft_core.calibration import Calibration
from saft_core.clip.backbone import Base
from saft_core.clip.loading import load_base
from saft_core.data.samples import Sample
from saft_core.delta import decode
from saft_core.example import ANSWERS, FOLDER, PHOTOGRAPHS, load_example
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.metrics import adapter_metrics
from saft_core.tuning.predictions import EncodedImages, Predictions, merged, predict, text_embeddings
from saft_core.tuning.progress import WorkMeter
from tests.saft_core.data.uploads import LIMITS

MAX_BYTES = 2_500_000


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base("")


def packed() -> dict[str, bytes]:
    """The photographs by their names in the zip."""
    with zipfile.ZipFile(PHOTOGRAPHS) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def samples(part: str, labels: Sequence[str]) -> list[Sample]:
    found = [(name, data) for name, data in sorted(packed().items()) if name.startswith(f"{part}/")]
    return [Sample(labels.index(name.split("/")[1]), name, partial(bytes, data)) for name, data in found]


def test_every_photograph_has_its_source_and_the_text_of_its_licence() -> None:
    with (FOLDER / "SOURCES.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["file"] for row in rows) == sorted(packed())
    assert all(row["author"] and row["package"] and row["path"] for row in rows)
    with_text = {row["licence"] for row in rows} - {"CC0-1.0", "public domain"}
    assert {path.stem for path in (FOLDER / "LICENSES").iterdir()} == with_text


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.*")) < MAX_BYTES


def test_there_is_an_answer_to_each_photograph_under_its_own_label() -> None:
    answers = load_example().answers
    labels = {hashlib.sha256(data).hexdigest(): name.split("/") for name, data in packed().items()}
    assert answers.keys() == labels.keys()
    for sha256, told in answers.items():
        part, label, _ = labels[sha256]
        assert (told.label, told.split == "test") == (label, part == "test")
    assert len(json.loads(ANSWERS.read_text("utf-8"))) == len(answers)
    assert len(load_example().contents(test=False)) == 160
    assert len(load_example().contents(test=True)) == 126


def test_it_is_made_for_the_base_that_is_shipped(base: Base) -> None:
    header = load_example().header
    assert (header.base_fingerprint, header.base_name) == (base.fingerprint, base.name)
    assert header.parameter_count == base.parameter_count
    assert header.template == base.defaults.template
    assert header.density == base.defaults.density


def test_the_stated_figures_are_those_of_the_shipped_delta_on_the_shipped_photographs(base: Base) -> None:
    example = load_example()
    delta, header = decode(example.container, max_bytes=len(example.container))
    stated, labels = header.metrics, header.classes
    test = samples("test", labels)
    ask = partial(predict, base, test, labels, header.template, delta, limits=LIMITS, batch_size=32)
    said, said_before = ask(strength=stated["strength"]), ask(strength=0.0)
    assert said == [example.answers[sample.content()].prediction for sample in test]
    right = sum(prediction == labels[sample.label] for prediction, sample in zip(said, test, strict=True))
    right_before = sum(prediction == labels[sample.label] for prediction, sample in zip(said_before, test, strict=True))
    assert (right, right_before, len(test)) == (stated["right"], stated["zero_shot_right"], stated["test_images"])
    targets = np.array([sample.label for sample in test])
    before, after = (
        Predictions(targets, np.array([labels.index(prediction) for prediction in one])) for one in (said_before, said)
    )
    measured = json.loads(json.dumps(adapter_metrics(labels, before, after)))
    assert {name: stated[name] for name in measured} == measured


def test_it_is_a_good_example() -> None:
    """Better than the base beyond doubt, with mistakes of each kind to look at, and able to tell strangers."""
    example = load_example()
    stated = example.header.metrics
    assert stated["verdict"] == "better"
    assert stated["right"] > stated["zero_shot_right"] + 10
    assert stated["evaluated_on"] == "test dataset"
    assert {told.split for _, told in example.mistakes} >= {"test", "held-out"}
    assert sum(told.split == "test" for _, told in example.mistakes) == stated["test_images"] - stated["right"]
    assert Calibration.of_metrics(stated).unknown is not None
    assert stated["kept"] is not None


def test_no_answer_hangs_on_the_last_bits(base: Base) -> None:
    """Or else another CPU would say something else of a photograph, and the figures would be wrong there."""
    delta, header = decode(load_example().container, max_bytes=1 << 20)
    loader = PixelLoader(samples("test", header.classes), base.pixels, LIMITS, side=base.image_side)
    images = EncodedImages(base, loader, 32, WorkMeter(lambda _: None)).embeddings()
    for strength in (0.0, header.metrics["strength"]):
        with merged(base, delta, strength):
            cosines = images @ text_embeddings(base, header.classes, header.template).T
        best = cosines.topk(2).values
        assert float((best[:, 0] - best[:, 1]).min()) > 1e-5
