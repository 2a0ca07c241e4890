"""Figures of one model on test pictures, from their cosines to the labels: float (N, labels)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from benchmarks.recipe.journal import Scores
from saft_core.calibration import RECALL, FloatArray, auroc

BINS = 15


def right(cosines: FloatArray, targets: Sequence[int]) -> list[float]:
    """1 for each picture, (N,), whose nearest label is the true one, and 0 for every other."""
    return [float(place == target) for place, target in zip(cosines.argmax(axis=1), targets, strict=True)]


def weighted(shares: Sequence[Sequence[float]]) -> list[float]:
    """Pictures of several tests as one list whose mean is the mean of the tests' means."""
    pictures = sum(len(share) for share in shares)
    return [value * pictures / (len(share) * len(shares)) for share in shares for value in share]


def balanced(answers: Sequence[float], targets: Sequence[int], rare: Collection[int]) -> Scores:
    """The mean of the classes' recall, and that of the rare ones alone if there are any."""
    by_class = {target: [answers[row] for row, own in enumerate(targets) if own == target] for target in set(targets)}
    few = [by_class[target] for target in sorted(rare)]
    return {"balanced": weighted(list(by_class.values()))} | ({"rare classes": weighted(few)} if few else {})


def calibration_error(logits: FloatArray, targets: Sequence[int]) -> float:
    """Expected calibration error of the most probable label, in 0..1, over bins of equal width (arXiv 1706.04599)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)
    hits = np.array(right(logits, targets))
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs((confidence - hits)[places == place].sum()) for place in Counter(places.tolist())]
    return float(sum(gaps) / len(hits))


def told_apart(known: FloatArray, strangers: FloatArray) -> Scores:
    """By the margin, (N,) and (M,): AUROC, and the share of strangers above what RECALL of the known ones reach."""
    accepted = float((strangers >= np.quantile(known, 1 - RECALL)).mean())
    return {"auroc": [auroc(known, strangers)], "accepted": [accepted]}
