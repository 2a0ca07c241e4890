"""A study makes each fit once, tests it on all that belongs to it, and goes on where it was stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.conditions import Conditions
from evaluation.datasets.dataset import DataSet, MissingData
from evaluation.journal import Journal
from evaluation.loading import Images
from evaluation.methods.catalogue import COOP, FULL, ZERO_SHOT
from evaluation.methods.linear_probe import LinearProbe
from evaluation.methods.maple import MaPLe
from evaluation.methods.method import Method
from evaluation.methods.sparse import SAFT
from evaluation.methods.wise_ft import WiseFt
from evaluation.outcomes import Outcome
from evaluation.splits import draw
from evaluation.study import BASE, NEW, Study
from saft_core.clip.backbone import Base
from saft_core.errors import InvalidImage
from tests.fixtures.models import make_base
from tests.fixtures.toy_data import find, make_sample


def conditions(**changes: Any) -> Conditions:
    settings: dict[str, Any] = {
        "shots": 4,
        "seeds": (1, 2),
        "epochs": 2,
        "batch_size": 8,
        "augment": "none",
        "density": 0.01,
        "weight_decay": 0.1,
        "tune": False,
    }
    return Conditions(**settings | changes)


@pytest.fixture
def said() -> list[str]:
    return []


def study(base: Base, path: Path, said: list[str], **changes: Any) -> Study:
    return Study(base, find, Journal(path / "results.jsonl"), conditions(**changes), said.append)


def told(outcomes: list[Outcome]) -> list[Any]:
    """What must be the same in every process: all but what was measured of the machine."""
    return [(one.run, dict(one.right), one.trainable, one.split_sha256, one.unsuited) for one in outcomes]


def test_an_outcome_says_which_images_were_right_and_the_base_is_the_base_again(
    tmp_path: Path, said: list[str]
) -> None:
    base = make_base("vit")
    before = base.flat.sha256()
    outcomes = study(base, tmp_path, said).outcomes(SAFT, "squares")
    assert [outcome.run.seed for outcome in outcomes] == [1, 2]
    for outcome in outcomes:
        assert {name: len(right) for name, right in outcome.right.items()} == {"squares": 12, "bright squares": 8}
        assert sum(block["selected"] for block in outcome.blocks) == outcome.trainable > 0
        assert outcome.split_sha256 == draw(find("squares"), 4, outcome.run.seed).sha256
        assert outcome.peak_bytes > 0
    assert outcomes[0].split_sha256 != outcomes[1].split_sha256
    assert base.flat.sha256() == before
    assert len(said) == 2


def test_zero_shot_is_what_the_base_answers(tmp_path: Path, said: list[str]) -> None:
    base = make_base("vit")
    (outcome, _) = study(base, tmp_path, said).outcomes(ZERO_SHOT, "squares")
    test = find("squares").tested
    images = Images(base, test.samples)
    texts = base.encode_texts([test.template.replace("{}", label) for label in test.labels])  # type: ignore[union-attr]
    same = (images.encode() @ texts.T).argmax(dim=1) == images.targets
    assert outcome.right["squares"] == "".join("1" if one else "0" for one in same.tolist())
    assert outcome.trainable == 0


def test_half_of_the_classes_trains_and_the_other_is_new(tmp_path: Path, said: list[str]) -> None:
    made = study(make_base("vit"), tmp_path, said)
    (saft, _), (probe, _) = (made.outcomes(method, "squares", "base") for method in (SAFT, LinearProbe()))
    assert {name: len(right) for name, right in saft.right.items()} == {BASE: 6, NEW: 6}
    assert (set(probe.right), list(probe.unnamed)) == ({BASE}, [NEW])


def test_a_killed_study_goes_on_to_the_same_results(tmp_path: Path, said: list[str]) -> None:
    methods: list[Method] = [ZERO_SHOT, COOP, FULL, WiseFt(), SAFT]
    whole = study(make_base("vit"), tmp_path / "whole", said)
    expected = [told(whole.outcomes(method, "squares")) for method in methods]
    first = study(make_base("vit"), tmp_path / "killed", said)
    for method in methods[:3]:
        first.outcomes(method, "squares")
    path = tmp_path / "killed" / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-20])  # as it is when the process dies amid a line
    said.clear()
    second = study(make_base("vit"), tmp_path / "killed", said)
    assert [told(second.outcomes(method, "squares")) for method in methods] == expected
    assert len(said) == 5  # the one that was cut off, and two each of the methods that were not begun


def test_what_was_made_is_not_made_again(tmp_path: Path, said: list[str]) -> None:
    base = make_base("vit")
    first = study(base, tmp_path, said).outcomes(SAFT, "squares")
    said.clear()
    assert told(study(base, tmp_path, said).outcomes(SAFT, "squares")) == told(first)
    assert not said
    study(base, tmp_path, said, density=0.02).outcomes(SAFT, "squares")
    study(make_base("vit", seed=5), tmp_path, said).outcomes(SAFT, "squares")
    assert len(said) == 4


def test_an_outcome_of_other_images_labels_or_prompts_is_made_again(tmp_path: Path, said: list[str]) -> None:
    base, data = make_base("vit"), find("squares")
    other = make_sample("other.png")
    changes: list[DataSet] = [
        data,
        replace(data, labels=("crimson", *data.labels[1:])),
        replace(data, template="a drawing of a {}."),
        replace(data, test=data.test[:-1]),
        replace(data, test=[*data.test[:-1], replace(data.test[-1], path="moved.png")]),
        replace(data, train=[replace(one, read=other.read) for one in data.train]),
    ]
    for changed in changes:
        made = Study(
            base,
            lambda _, changed=changed: changed,  # type: ignore[misc]
            Journal(tmp_path / "results.jsonl"),
            conditions(seeds=(1,)),
            said.append,
        )
        made.outcomes(ZERO_SHOT, "squares")
        made.outcomes(ZERO_SHOT, "squares")
    assert len(said) == len(changes)


def test_in_base_to_new_no_image_of_a_new_class_chooses_a_rate(tmp_path: Path) -> None:
    base, data = make_base("vit"), find("squares")

    def refuse() -> bytes:
        raise AssertionError("an image of a new class was read")

    new = [replace(one, read=refuse) if one.label > 1 else one for one in data.val]
    train = [replace(one, read=refuse) if one.label > 1 else one for one in data.train]
    hidden = replace(data, val=new, train=train)
    journal = Journal(tmp_path / "results.jsonl")
    made = Study(base, lambda _: hidden, journal, conditions(seeds=(1,), tune=True), lambda _: None)
    assert made.outcomes(SAFT, "squares", "base")[0].right[NEW]


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, said: list[str]) -> None:
    data = find("squares")
    broken = replace(data, test=[replace(data.test[0], path="red/cut.png", read=lambda: b"no image"), *data.test[1:]])
    made = Study(make_base("vit"), lambda _: broken, Journal(tmp_path / "r.jsonl"), conditions(), said.append)
    with pytest.raises(InvalidImage, match=r"red/cut\.png: "):
        made.outcomes(ZERO_SHOT, "squares")


def test_wise_ft_shares_the_full_fine_tuning_before_it_and_counts_its_cost(tmp_path: Path, said: list[str]) -> None:
    alone = study(make_base("vit"), tmp_path / "alone", said, seeds=(1,)).outcomes(WiseFt(), "squares")
    made = study(make_base("vit"), tmp_path / "after", said, seeds=(1,))
    (full,) = made.outcomes(FULL, "squares")
    after = made.outcomes(WiseFt(), "squares")
    assert told(after) == told(alone)
    assert after[0].seconds >= full.seconds


def test_a_base_that_cannot_run_a_method_is_told_with_the_reason(tmp_path: Path, said: list[str]) -> None:
    (outcome,) = study(make_base("resnet"), tmp_path, said, seeds=(1,)).outcomes(MaPLe(), "squares")
    assert outcome.unsuited
    assert not outcome.right


def test_rates_are_chosen_on_held_shots_alone_and_as_often_for_each_method(tmp_path: Path, said: list[str]) -> None:
    base = make_base("vit")
    made = study(base, tmp_path, said, seeds=(1,), tune=True)
    for method in (SAFT, FULL):
        (outcome,) = made.outcomes(method, "squares")
        assert outcome.run.learning_rate in method.hyperparameters.search(base)
    choices = [line for line in said if "held shots" in line]
    assert len(choices) == 6
    assert not any("bright" in line for line in choices)


def test_a_fit_on_the_source_is_tested_on_every_other_data_set(tmp_path: Path, said: list[str]) -> None:
    made = Study(
        make_base("vit"),
        find,
        Journal(tmp_path / "results.jsonl"),
        conditions(seeds=(1,)),
        said.append,
        source="squares",
        transfers=("circles", "absent"),
    )
    (outcome,) = made.outcomes(SAFT, "squares")
    assert set(outcome.right) == {"squares", "bright squares", "circles"}
    assert made.absence("absent") == "there is no absent"
    with pytest.raises(MissingData):
        made.outcomes(SAFT, "absent")
