"""What answers say in numbers a person can trust: intervals, figures of each class, and a paired test's verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from saft_core.comparison import Verdict, can_tell, verdict
from saft_core.tuning.evaluation import Evaluation

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


def figures(labels: Sequence[str], before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """All that is told of a base and an adapter on the same images, as JSON values; `zero_shot_` is the base's."""
    return {
        **{f"zero_shot_{name}": value for name, value in _of_one(labels, before).items()},
        **_of_one(labels, after),
        "right": int(after.right.sum()),
        "zero_shot_right": int(before.right.sum()),
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
    told: dict[str, Any] = {"new": figures(new_labels, before, after) | {"test_images": len(after)}}
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
