from __future__ import annotations

import itertools

import pytest

from saft_core.comparison import Answered, Comparison, Verdict, can_tell, compare, in_common, measured, verdict


@pytest.mark.parametrize(
    ("won", "lost", "expected"),
    [
        (0, 0, "no_better"),
        (4, 0, "no_better"),
        (5, 0, "better"),
        (0, 5, "worse"),
        (7, 1, "better"),
        (6, 1, "no_better"),
        (1, 7, "worse"),
        (40, 39, "no_better"),
    ],
)
def test_the_verdict_is_that_of_the_exact_paired_test(won: int, lost: int, expected: Verdict) -> None:
    assert verdict(won, lost) == expected


def test_equal_models_are_seldom_told_apart() -> None:
    """Of all ways that six images can fall, at most a twentieth makes a verdict of better, and as many of worse."""
    falls = list(itertools.product([0, 1], repeat=6))
    verdicts = [verdict(sum(toss), 6 - sum(toss)) for toss in falls]
    assert 0 < verdicts.count("better") <= len(falls) / 20
    assert verdicts.count("better") == verdicts.count("worse")


def test_a_model_that_is_hardly_wrong_leaves_too_little_to_tell() -> None:
    assert (can_tell(4), can_tell(5)) == (False, True)


def test_answers_are_compared_image_by_image() -> None:
    rows = [("cat", "cat", "dog"), ("cat", "cat", "cat"), ("dog", "owl", "dog"), ("dog", "cat", "cat")]
    found = compare(rows, left_out=2)
    assert found == Comparison(images=4, agree=2, right=2, other_right=2, won=1, lost=1, left_out=2)
    assert found.as_metrics() == {
        "images": 4,
        "left_out_images": 2,
        "agreement": 0.5,
        "accuracy": 0.5,
        "with_accuracy": 0.5,
        "right": 2,
        "with_right": 2,
        "verdict": "no_better",
    }


def test_of_no_images_nothing_is_told() -> None:
    found = compare([]).as_metrics()
    assert [found[name] for name in ("images", "agreement", "accuracy", "with_accuracy", "verdict")] == [0, *[None] * 4]


def test_only_images_measured_for_both_and_labelled_alike_are_compared() -> None:
    own = {
        "both": Answered("held-out", "cat", "cat"),
        "trained by the other": Answered("test", "cat", "cat"),
        "trained": Answered("training", "cat", "cat"),
        "relabelled": Answered("test", "cat", "cat"),
        "alone": Answered("test", "cat", "cat"),
    }
    other = {
        "both": Answered("test", "cat", "dog"),
        "trained by the other": Answered("training", "cat", "cat"),
        "trained": Answered("test", "cat", "cat"),
        "relabelled": Answered("test", "dog", "dog"),
    }
    assert in_common(own, other) == Comparison(images=1, right=1, won=1, left_out=4)
    assert in_common(other, own) == Comparison(images=1, other_right=1, lost=1, left_out=4)
    assert set(measured(other)) == {"both", "trained", "relabelled"}
