from __future__ import annotations

import pytest

from benchmarks.recipe.intervals import difference


def test_a_gain_on_every_picture_is_certain_though_the_runs_differ() -> None:
    found = difference([[1.0, 1.0], [1.0], [0.7]], [[0.5, 0.5], [0.5], [0.2]])
    assert (found.mean, found.low, found.high) == pytest.approx((50, 50, 50))


def test_runs_count_alike_and_what_one_of_them_gains_is_uncertain() -> None:
    found = difference([[1.0] * 8, [0.5]], [[0.0] * 8, [0.5]])
    assert found.mean == pytest.approx(50)
    assert (found.low, found.high) == pytest.approx((0, 100))


def test_pictures_of_one_run_are_drawn_anew() -> None:
    found = difference([[1.0, 0.0] * 50], [[0.0, 0.0] * 50])
    assert found.mean == pytest.approx(50)
    assert 35 < found.low < 45
    assert 55 < found.high < 65


def test_runs_on_other_pictures_are_no_pair() -> None:
    with pytest.raises(ValueError, match="shape"):
        difference([[1.0, 0.0]], [[1.0, 0.0, 1.0]])
