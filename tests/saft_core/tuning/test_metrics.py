from __future__ import annotations

import json

import numpy as np
import pytest

from saft_core.tuning.metrics import (
    adapter_metrics,
    base_fit,
    base_metrics,
    base_to_new_metrics,
    harmonic_mean,
    interval,
    verdict_on,
)
from saft_core.tuning.predictions import Predictions


def answers(right: list[int]) -> Predictions:
    """Of images of class 1, right where told."""
    return Predictions(np.ones(len(right), dtype=np.int64), np.array(right))


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (15, 148, 0.0624, 0.1605)],
)
def test_intervals_are_those_of_published_tables(right: int, images: int, low: float, high: float) -> None:
    """The last is the example of Newcombe (1998), table I, method 3."""
    assert interval(right, images) == pytest.approx((low, high), abs=1e-4)


def test_the_verdict_counts_what_one_alone_gets_right() -> None:
    before, after = answers([0] * 7 + [1, 1, 0, 1]), answers([1] * 7 + [0, 1, 0, 1])
    assert (verdict_on(before, after), verdict_on(after, before)) == ("better", "worse")
    assert verdict_on(before, before) == "no_better"


def test_each_class_has_its_figures_and_what_is_not_defined_is_null() -> None:
    before = Predictions(np.array([0, 0, 0, 1]), np.array([1, 1, 0, 1]))
    after = Predictions(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    found = adapter_metrics(["cat", "dog", "owl"], before, after)
    assert found["per_class"] == [
        {"label": "cat", "precision": 0.75, "recall": 1.0, "count": 3},
        {"label": "dog", "precision": None, "recall": 0.0, "count": 1},
        {"label": "owl", "precision": None, "recall": None, "count": 0},
    ]
    assert found["zero_shot_per_class"][0] == {"label": "cat", "precision": 1.0, "recall": 1 / 3, "count": 3}
    assert (found["accuracy"], found["balanced_accuracy"]) == (0.75, 0.5)
    assert (found["right"], found["zero_shot_right"], found["too_few_to_tell"]) == (3, 2, True)
    assert found["zero_shot_balanced_accuracy"] == pytest.approx(2 / 3)
    assert json.loads(json.dumps(found)) == found


def test_new_classes_are_told_beside_those_that_were_trained() -> None:
    before = Predictions(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))
    after = Predictions(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0]))
    found = base_to_new_metrics({"accuracy": 1.0, "zero_shot_accuracy": 0.5}, ["ant", "owl"], before, after)[
        "base_to_new"
    ]
    assert (found["base_accuracy"], found["new_accuracy"]) == (1.0, 0.5)
    assert (found["zero_shot_base_accuracy"], found["zero_shot_new_accuracy"]) == (0.5, 0.75)
    assert found["harmonic_mean"] == pytest.approx(2 / 3)
    assert found["zero_shot_harmonic_mean"] == pytest.approx(0.6)
    assert (found["new"]["right"], found["new"]["zero_shot_right"], found["new"]["test_images"]) == (2, 3, 4)
    assert base_to_new_metrics({"accuracy": 1.0}, [], None, None) == {"base_to_new": None}
    unmeasured = base_to_new_metrics({"accuracy": None, "zero_shot_accuracy": None}, ["ant", "owl"], before, after)
    assert unmeasured["base_to_new"]["harmonic_mean"] is None
    assert unmeasured["base_to_new"]["new_accuracy"] == 0.5


def test_the_harmonic_mean_is_that_of_published_tables() -> None:
    """CoOp and CoCoOp over 11 datasets, table 1 of Zhou et al. (arXiv 2203.05557)."""
    assert harmonic_mean(0.8269, 0.6322) == pytest.approx(0.7166, abs=1e-4)
    assert harmonic_mean(0.8047, 0.7169) == pytest.approx(0.7583, abs=1e-4)
    assert harmonic_mean(0.0, 0.9) == 0.0


@pytest.mark.parametrize(
    ("right", "images", "classes", "fit"),
    [
        (14, 16, 2, "good"),  # so many or more by luck, if 60% are right: 0.018
        (13, 16, 2, "poor"),  # 0.065
        (6, 6, 2, "good"),
        (5, 5, 2, None),  # 0.078: not even all right would tell
        (9, 32, 10, "good"),  # if 15% are right: 0.041
        (8, 32, 10, "poor"),  # 0.096
        (0, 32, 10, "poor"),
        (3000, 20_000, 10, "poor"),
        (3100, 20_000, 10, "good"),
        (1, 1, 1, None),
    ],
)
def test_a_base_that_is_hardly_above_chance_is_poor(right: int, images: int, classes: int, fit: str | None) -> None:
    assert base_fit(right, images, classes) == fit


def test_what_is_told_of_the_base_alone_is_what_is_told_at_the_end() -> None:
    before, after = answers([1] * 12 + [0, 0]), answers([1] * 14)
    alone, found = base_metrics(["cat", "dog"], before), adapter_metrics(["cat", "dog"], before, after)
    assert alone == {name: found[name] for name in alone}
    assert (alone["zero_shot_right"], alone["test_images"], alone["base_fit"]) == (12, 14, "good")
    assert not {"accuracy", "right", "verdict"} & set(alone)
