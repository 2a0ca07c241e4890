"""The metrics of an evaluation as JSON values: accuracy, its interval, figures of each class, a paired test's verdict.

A new figure of a result goes into `_model_metrics` (one model) or `adapter_metrics` (base and adapter compared). From
there it is in `metrics` of the adapter in the API without further code; docs/training.md says what it means, and a
module of `ui/static` shows it on the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from saft_core.comparison import SIGNIFICANCE, Verdict, can_tell, verdict
from saft_core.tuning.predictions import Predictions

BaseFit = Literal["good", "poor"]
POOR_FACTOR = 1.5
POOR_MARGIN = 0.1

_NORMAL_95 = 1.959964


def interval(right: int, images: int) -> tuple[float, float]:
    """Wilson's score interval at 95% (Wilson 1927) of the share `right / images`; `images` must be positive."""
    share, z2 = right / images, _NORMAL_95**2
    middle = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2)) / (1 + z2 / images)
    return max(0.0, middle - half), min(1.0, middle + half)


def verdict_on(before: Predictions, after: Predictions) -> Verdict:
    """Whether the adapter (`after`) is better than the base (`before`) on the same images, by a paired test."""
    return verdict(int((after.right & ~before.right).sum()), int((before.right & ~after.right).sum()))


def base_fit(right: int, images: int, classes: int) -> BaseFit | None:
    """Whether the base tells these classes apart: "good" if its accuracy is above POOR_FACTOR times chance, or
    POOR_MARGIN over chance if that is less, by the exact binomial test, one-sided at 5%.

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


def base_metrics(labels: Sequence[str], before: Predictions) -> dict[str, Any]:
    """The metrics of the base alone, as JSON values; most names begin with `zero_shot_`."""
    right = int(before.right.sum())
    return {
        **{f"zero_shot_{name}": value for name, value in _model_metrics(labels, before).items()},
        "zero_shot_right": right,
        "test_images": len(before),
        "base_fit": base_fit(right, len(before), len(labels)),
    }


def adapter_metrics(labels: Sequence[str], before: Predictions, after: Predictions) -> dict[str, Any]:
    """The metrics of base and adapter on the same images, as JSON values; names with `zero_shot_` are the base's."""
    return {
        **base_metrics(labels, before),
        **_model_metrics(labels, after),
        "right": int(after.right.sum()),
        "verdict": verdict_on(before, after),
        "too_few_to_tell": not can_tell(int((~before.right).sum())),
        "confusion": {
            "labels": list(labels),
            "zero_shot": before.confusion(len(labels)).tolist(),
            "adapted": after.confusion(len(labels)).tolist(),
        },
    }


def base_to_new_metrics(
    measured: Mapping[str, Any], new_labels: Sequence[str], before: Predictions | None, after: Predictions | None
) -> dict[str, Any]:
    """Accuracy on the classes that were trained, on new ones, and the harmonic mean of both (section 3.2 of the paper).

    measured: the metrics of the trained classes. before, after: predictions of base and adapter on images of the new
    classes, among the new labels alone.

    There is one of each for the base (`zero_shot_`) and the adapter; `base_to_new` is null if no new class was tested.
    """
    if before is None or after is None:
        return {"base_to_new": None}
    told: dict[str, Any] = {"new": adapter_metrics(new_labels, before, after)}
    for model in ("", "zero_shot_"):
        trained, new = measured[f"{model}accuracy"], told["new"][f"{model}accuracy"]
        told[f"{model}base_accuracy"], told[f"{model}new_accuracy"] = trained, new
        told[f"{model}harmonic_mean"] = None if trained is None else harmonic_mean(trained, new)
    return {"base_to_new": told}


def harmonic_mean(one: float, other: float) -> float:
    """The harmonic mean of two shares; 0 if one of them is 0."""
    return 2 * one * other / (one + other) if one and other else 0.0


def _model_metrics(labels: Sequence[str], answers: Predictions) -> dict[str, Any]:
    counts = answers.confusion(len(labels))
    per_class = [_class_metrics(label, counts, place) for place, label in enumerate(labels)]
    recalls = [entry["recall"] for entry in per_class if entry["recall"] is not None]
    return {
        "accuracy": answers.accuracy,
        "interval": list(interval(int(answers.right.sum()), len(answers))),
        "balanced_accuracy": float(np.mean(recalls)),
        "per_class": per_class,
    }


def _class_metrics(label: str, counts: npt.NDArray[np.int64], place: int) -> dict[str, Any]:
    """Precision is null for a class that was never answered, recall for one that no image has."""
    right, answered, there = int(counts[place, place]), int(counts[:, place].sum()), int(counts[place].sum())
    return {
        "label": label,
        "precision": right / answered if answered else None,
        "recall": right / there if there else None,
        "count": there,
    }
