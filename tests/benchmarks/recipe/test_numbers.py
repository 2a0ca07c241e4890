from __future__ import annotations

import numpy as np
import pytest

from benchmarks.recipe.numbers import balanced, calibration_error, right, told_apart, weighted


def test_tests_count_alike_whatever_their_sizes() -> None:
    assert np.mean(weighted([[1.0, 1.0, 1.0, 0.0], [0.0]])) == pytest.approx((0.75 + 0.0) / 2)


def test_balanced_accuracy_is_the_mean_of_the_recalls() -> None:
    found = balanced([1, 1, 1, 0, 1], [0, 0, 0, 1, 1], rare=[1])
    assert np.mean(found["balanced"]) == pytest.approx((1.0 + 0.5) / 2)
    assert np.mean(found["rare classes"]) == pytest.approx(0.5)
    assert "rare classes" not in balanced([1, 0], [0, 1], rare=[])


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    logits = np.log(np.array([[0.8, 0.2]] * 4 + [[0.45, 0.55]] * 2))
    # four at 0.8 of which three are right, two at 0.55 of which both are: 4/6 x 0.05 + 2/6 x 0.45
    assert calibration_error(logits, [0, 0, 0, 1, 1, 1]) == pytest.approx(4 / 6 * 0.05 + 2 / 6 * 0.45)


def test_strangers_are_accepted_above_what_nineteen_in_twenty_of_the_known_reach() -> None:
    known, strangers = np.linspace(0.5, 0.7, 21), np.array([0.1, 0.2, 0.505, 0.6])
    found = told_apart(known, strangers)
    assert found["accepted"] == [0.25]  # 0.505 lies below the twentieth part of the known, 0.51
    assert found["auroc"][0] == pytest.approx((21 + 21 + 20 + 10.5) / (4 * 21))


def test_right_is_the_nearest_label() -> None:
    assert right(np.array([[0.1, 0.3], [0.4, 0.2]]), [1, 1]) == [1.0, 0.0]
