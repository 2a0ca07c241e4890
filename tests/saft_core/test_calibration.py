"""A temperature and a notion of strangers, from a few answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saft_core.calibration import (
    TEMPERATURES,
    UNCALIBRATED,
    Calibration,
    Unknown,
    Words,
    auroc,
    fit_temperature,
    fit_unknown,
    fit_unknown_to_labels,
    margin,
)

RNG = np.random.default_rng(0)


def answers(temperature: float, images: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Logits whose softmax after division by `temperature` is what the targets are drawn from."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(images, 5)) * 3
    shares = np.exp(logits / temperature)
    shares /= shares.sum(axis=1, keepdims=True)
    return logits, np.array([rng.choice(5, p=row) for row in shares], dtype=np.int64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_that_the_answers_were_drawn_at(temperature: float) -> None:
    assert fit_temperature(*answers(temperature, 4000)) == pytest.approx(temperature, rel=0.1)


def test_a_few_images_that_are_all_right_do_not_ask_for_certainty() -> None:
    logits = 2.0 * np.eye(4)[np.arange(8) % 4]
    found = fit_temperature(logits, np.arange(8) % 4)
    assert TEMPERATURES[0] < found < 1
    shares = np.exp(logits / found)
    assert (shares.max(axis=1) / shares.sum(axis=1)).mean() == pytest.approx(8.5 / 9, abs=0.01)


def test_one_class_needs_no_temperature() -> None:
    assert fit_temperature(np.ones((3, 1)), np.zeros(3, dtype=np.int64)) == 1


def test_strangers_are_told_by_their_lower_cosine() -> None:
    known, strangers = RNG.normal(0.5, 0.1, 400), RNG.normal(0.1, 0.1, 400)
    found = fit_unknown(known, strangers)
    assert found is not None
    assert found.auroc == pytest.approx(auroc(known, strangers)) == pytest.approx(0.998, abs=0.005)
    assert found.probability(np.array([0.3]))[0] == pytest.approx(0.5, abs=0.05)
    assert found.probability(known).mean() < 0.05
    assert found.probability(strangers).mean() > 0.95
    assert (found.probability(known) <= found.threshold).mean() == pytest.approx(0.95, abs=0.005)


def test_groups_that_do_not_meet_give_finite_numbers() -> None:
    found = fit_unknown(np.full(10, 0.9) + np.arange(10) * 1e-9, np.full(10, 0.1))
    assert found is not None
    assert found.auroc == 1
    assert np.isfinite(found.probability(np.array([-1.0, 0.5, 1.0]))).all()


@pytest.mark.parametrize(
    ("known", "strangers"),
    [(np.ones(4), np.zeros(40)), (np.ones(40), np.zeros(4)), (np.zeros(40), np.ones(40)), (np.ones(40), np.ones(40))],
)
def test_too_few_or_none_the_wiser_is_no_calibration(known: Any, strangers: Any) -> None:
    assert fit_unknown(known, strangers) is None


def test_auroc_counts_a_tie_for_half() -> None:
    assert auroc(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == (0.5 + 3) / 4


@pytest.mark.parametrize("calibration", [UNCALIBRATED, Calibration(0.5, Unknown(20.0, -5.0, 0.3, 0.98))])
def test_metrics_hold_all_of_it(calibration: Calibration) -> None:
    assert Calibration.of_metrics(calibration.as_metrics()) == calibration


def test_an_adapter_without_one_is_left_as_it_is() -> None:
    assert Calibration.of_metrics({"accuracy": 1.0}) == UNCALIBRATED


@pytest.mark.parametrize(
    ("metrics", "named"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": None}, "temperature"),
        ({"unknown": [1]}, "unknown"),
        ({"unknown": {"slope": 1, "intercept": "2", "threshold": 0.5, "auroc": 1}}, "intercept"),
        ({"unknown": {"slope": 1}}, "unknown.intercept"),
        ({"unknown": {"slope": 1e39, "intercept": 0, "threshold": 0.5, "auroc": 1}}, "unknown.slope"),
        ({"unknown": {"slope": -1, "intercept": 0, "threshold": 0.5, "auroc": 1}}, "unknown.slope"),
        ({"unknown": {"slope": 1, "intercept": -1e39, "threshold": 0.5, "auroc": 1}}, "unknown.intercept"),
        ({"unknown": {"slope": 1, "intercept": 0, "threshold": -5, "auroc": 1}}, "unknown.threshold"),
        ({"unknown": {"slope": 1, "intercept": 0, "threshold": 0.5, "auroc": 7}}, "unknown.auroc"),
    ],
)
def test_what_a_stranger_states_is_checked(metrics: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Calibration.of_metrics(metrics)


def unit(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_a_word_close_to_a_label_is_none_of_the_others() -> None:
    words = unit(np.random.default_rng(2).normal(size=(40, 16)))
    labels = unit(np.stack([words[3] + 0.2 * words[7], -words[5]]))
    found = Words.of(words, 0.95).none_of(labels)
    assert not found[3]
    assert found[5]
    assert found.sum() >= 30
    assert Words.of(words[:1], 0.95).none_of(labels).tolist() == [False]


def test_an_image_that_is_closer_to_another_word_has_less_margin() -> None:
    words = Words.of(np.eye(4), 0.95)
    images = unit(np.array([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1]]))
    others = np.array([False, True, True, False])
    found = margin(images[:, 0], images, words, others)
    assert found == pytest.approx([1, 0.5 * np.sqrt(0.5), np.sqrt(0.5)])
    assert margin(images[:, 0], images, words, np.zeros(4, dtype=np.bool_)).tolist() == images[:, 0].tolist()
    per_image = np.stack([others, ~others, others])
    assert margin(images[:, 0], images, words, per_image)[1] == pytest.approx(0.5 * np.sqrt(0.5))


def test_without_pictures_of_the_labels_others_say_what_a_stranger_is() -> None:
    """Pictures lie near their own concept, and as far from all other words: what is near a label is no stranger."""
    rng = np.random.default_rng(3)
    concepts, labels = unit(rng.normal(size=(40, 64))), unit(rng.normal(size=(5, 64)))

    def pictures_of(words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return unit(words + 0.15 * rng.normal(size=words.shape))

    own = np.repeat(np.arange(40), 2)
    others = unit(rng.normal(size=(50, 64)))
    words = Words.of(np.concatenate([others, concepts[:20], labels[:2]]), 0.98)
    found = fit_unknown_to_labels(pictures_of(concepts[own]), own, concepts, labels, words)
    assert found is not None

    def probability(pictures: np.ndarray[Any, Any]) -> float:
        highest = (pictures @ labels.T).max(axis=1)
        return float(found.probability(margin(highest, pictures, words, words.none_of(labels))).mean())

    assert probability(pictures_of(labels[np.arange(50) % 5])) < 0.05
    assert probability(pictures_of(others)) > 0.95


def test_where_every_picture_may_show_a_label_there_are_no_strangers() -> None:
    concepts = unit(np.random.default_rng(4).normal(size=(10, 16)))
    assert fit_unknown_to_labels(concepts, np.arange(10), concepts, concepts, Words.of(concepts, 0.98)) is None
