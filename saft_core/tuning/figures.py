"""What answers say in numbers a person can trust: intervals, figures of each class, and a paired test's verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from saft_core.comparison import SIGNIFICANCE, Verdict, can_tell, verdict
from saft_core.tuning.evaluation import Evaluation

BaseFit = Literal["good", "poor"]
POOR_FACTOR = 1.5
POOR_MARGIN = 0.1

_NORMAL_95 = 1.959964


def interval(right: int, images: int) -> tuple[float, float]:
    """Wilson's score interval of a share at 95% (Wilson 1927): `right` of `images`, one or more."""
    share, z2 = right / images, _NORMAL_95**2
    middle = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2)) / (1 + z2 / images)
    return max(0.0, middle - half), min(1.0, middle + half)


def verdict_on(before: Evaluation, after: Evaluation) -> Verdict:
    """Whether the adapter is better than the base on the same images."""
    return verdict(int((after.right & ~before.right).sum()), int((before.right & ~after.right).sum()))


def base_fit(right: int, images: int, classes: int) -> BaseFit | None:
    """Whether the base knows so many classes: "good" if its accuracy is above POOR_FACTOR times chance, or POOR_MARGIN
    over chance if that is less, by the exact binomial test, one-sided at 5%.

    Otherwise "poor"; None if so few images could not show that it is good, were all of them right.
    """
    chance = 1 / classes
    floor = min(POOR_FACTOR * chance, chance + POOR_MARGIN)
    if floor >= 1 or _at_least(images, images, floor) > SIGNIFICANCE:
        return None
    return "good" if _at_least(right, images, floor) <= SIGNIFICANCE else "poor"


def _at_least(right: int, images: int, share: float) -> float:
    """Probability of so many right answers or more where each is right with probability `share`."""
    logs = (
        math.lgamma(images + 1) - math.lgamma(n + 1) - math.lgamma(images - n + 1)
        + n * math.log(share) + (images - n) * math.log1p(-share)
        for n in range(right, images + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs))


def figures_of_base(labels: Sequence[str], before: Evaluation) -> dict[str, Any]:
    """All that is told of the base alone, as JSON values."""
    right = int(before.right.sum())
    return {
        **{f"zero_shot_{name}": value for name, value in _of_one(labels, before).items()},
        "zero_shot_right": right,
        "test_images": len(before),
        "base_fit": base_fit(right, len(before), len(labels)),
    }


def figures(labels: Sequence[str], before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """All that is told of a base and an adapter on the same images, as JSON values; `zero_shot_` is the base's."""
    return {
        **figures_of_base(labels, before),
        **_of_one(labels, after),
        "right": int(after.right.sum()),
        "verdict": verdict_on(before, after),
        "too_few_to_tell": not can_tell(int((~before.right).sum())),
        "confusion": {
            "labels": list(labels),
            "zero_shot": before.confusion(len(labels)).tolist(),
            "adapted": after.confusion(len(labels)).tolist(),
        },
    }


def base_to_new(
    measured: Mapping[str, Any], new_labels: Sequence[str], before: Evaluation | None, after: Evaluation | None
) -> dict[str, Any]:
    """Accuracy on the classes that were trained, on new ones, and the harmonic mean of both (section 3.2 of the paper).

    measured: the figures of the trained classes. before, after: answers, of the new labels alone, on images of these.

    Each is told of the base (`zero_shot_`) and of the adapter; all is null where no new class was tested.
    """
    if before is None or after is None:
        return {"base_to_new": None}
    told: dict[str, Any] = {"new": figures(new_labels, before, after)}
    for model in ("", "zero_shot_"):
        trained, new = measured[f"{model}accuracy"], told["new"][f"{model}accuracy"]
        told[f"{model}base_accuracy"], told[f"{model}new_accuracy"] = trained, new
        told[f"{model}harmonic_mean"] = None if trained is None else harmonic_mean(trained, new)
    return {"base_to_new": told}


def harmonic_mean(one: float, other: float) -> float:
    """Of two shares; 0 if one of them is."""
    return 2 * one * other / (one + other) if one and other else 0.0


def _of_one(labels: Sequence[str], answers: Evaluation) -> dict[str, Any]:
    counts = answers.confusion(len(labels))
    per_class = [_of_class(label, counts, place) for place, label in enumerate(labels)]
    recalls = [entry["recall"] for entry in per_class if entry["recall"] is not None]
    return {
        "accuracy": answers.accuracy,
        "interval": list(interval(int(answers.right.sum()), len(answers))),
        "balanced_accuracy": float(np.mean(recalls)),
        "per_class": per_class,
    }


def _of_class(label: str, counts: npt.NDArray[np.int64], place: int) -> dict[str, Any]:
    """Precision is null for a class that was never answered, recall for one that no image has."""
    right, answered, there = int(counts[place, place]), int(counts[:, place].sum()), int(counts[place].sum())
    return {
        "label": label,
        "precision": right / answered if answered else None,
        "recall": right / there if there else None,
        "count": there,
    }
