from __future__ import annotations

import numpy as np
import pytest

from saft_core.tuning.predictions import Predictions
from saft_core.tuning.strength import STRENGTHS, HeldOut, best


def held_out(right: list[list[int]]) -> HeldOut:
    """Of images of class 1: the base is wrong on all, the adapter at each strength as told."""
    targets = np.ones(len(right[0]), dtype=np.int64)
    tries = tuple(Predictions(targets, np.array(row)) for row in right)
    return HeldOut(Predictions(targets, np.zeros_like(targets)), tries)


@pytest.mark.parametrize(
    ("counts", "place"),
    [
        ([0, 1, 2, 3, 4, 5, 6], 6),
        ([6, 5, 4, 3, 2, 1, 0], 0),
        ([3] * 7, 3),
        ([1, 2, 2, 2, 2, 1, 1], 3),
        ([2, 1, 2, 0, 0, 0, 0], 2),
    ],
)
def test_the_strength_with_the_most_right_answers_or_the_middle_of_several(counts: list[int], place: int) -> None:
    assert best(np.array(counts) / 3) == place


def test_of_uneven_classes_each_has_its_say() -> None:
    """Three of the eight of one class are lost above half strength, and the only one of the other is won."""
    targets = np.array([0] * 8 + [1])
    low, high = np.array([0] * 8 + [0]), np.array([0] * 5 + [1] * 3 + [1])
    tries = [low if strength <= 0.5 else high for strength in STRENGTHS]
    found = HeldOut(Predictions(targets, low), tuple(Predictions(targets, row) for row in tries))
    assert [one.right.sum() for one in found.tries][::6] == [8, 6]
    assert found.strength > 0.5


def test_no_image_is_judged_at_a_strength_that_it_chose_itself() -> None:
    """Each of three images is right at one strength only, which it alone would choose."""
    right = [[0] * 3 for _ in STRENGTHS]
    right[0][0] = right[3][1] = right[6][2] = 1
    assert max(sum(row) for row in right) == 1
    assert not held_out(right).answers.right.any()


def test_where_one_strength_is_best_for_all_it_judges_all() -> None:
    right = [[0] * 4 for _ in STRENGTHS]
    right[2] = [1, 1, 1, 0]
    found = held_out(right)
    assert found.strength == STRENGTHS[2]
    assert found.answers.right.tolist() == [True, True, True, False]


def test_a_checkpoint_carries_all_of_it() -> None:
    found = held_out([[place % 2, 1] for place in range(len(STRENGTHS))])
    again = HeldOut.of_tensors(found.as_tensors())
    assert again.strength == found.strength
    assert again.before.predicted.tolist() == found.before.predicted.tolist()
    assert again.answers.predicted.tolist() == found.answers.predicted.tolist()
    assert again.answers.targets.tolist() == found.answers.targets.tolist()
