"""Comparison of two models on the same images, with McNemar's exact test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["test", "held-out", "training"]
Verdict = Literal["better", "no_better", "worse"]

SIGNIFICANCE = 0.05


def verdict(won: int, lost: int) -> Verdict:
    """Whether a model is better than another on the same images, by McNemar's exact test, one-sided at SIGNIFICANCE.

    won, lost: the number of images that only this model, or only the other one, gets right. Under the null hypothesis
    each of these images is a toss of a fair coin.
    """
    if _at_least(max(won, lost), won + lost) > SIGNIFICANCE:
        return "no_better"
    return "better" if won > lost else "worse"


def can_tell(open_images: int) -> bool:
    """Whether `verdict` could find a model better that gets `open_images` more images right and no other wrong."""
    return _at_least(open_images, open_images) <= SIGNIFICANCE


def _at_least(heads: int, tosses: int) -> float:
    """The probability of at least `heads` heads in `tosses` tosses of a fair coin."""
    return float(sum(math.comb(tosses, count) for count in range(heads, tosses + 1)) / 2**tosses)


@dataclass(frozen=True)
class Answered:
    """The prediction of an adapter for one image, with the true label.

    split: the part of the image in the training. A held-out image is predicted by the training that did not see it, so
    only those of "training" do not measure the adapter.
    """

    split: Split
    label: str
    prediction: str


@dataclass(frozen=True)
class Comparison:
    """Counts of images on which two adapters were compared.

    agree: same prediction. right, other_right: each correct. won, lost: only one of them correct. left_out: images that
    were not used, because one of the two was trained on them.
    """

    images: int = 0
    agree: int = 0
    right: int = 0
    other_right: int = 0
    won: int = 0
    lost: int = 0
    left_out: int = 0

    @property
    def verdict(self) -> Verdict | None:
        """The verdict for the first adapter; None without images."""
        return verdict(self.won, self.lost) if self.images else None

    def as_metrics(self) -> dict[str, Any]:
        """The JSON object of the metrics; shares are null without images."""
        return {
            "images": self.images,
            "left_out_images": self.left_out,
            "agreement": self._share(self.agree),
            "accuracy": self._share(self.right),
            "with_accuracy": self._share(self.other_right),
            "right": self.right,
            "with_right": self.other_right,
            "verdict": self.verdict,
        }

    def _share(self, count: int) -> float | None:
        return count / self.images if self.images else None


def compare(answers: Iterable[tuple[str, str, str]], left_out: int = 0) -> Comparison:
    """Compare two models by (label, prediction, other's prediction) of each image."""
    rows = list(answers)
    right = [own == label for label, own, _ in rows]
    other = [said == label for label, _, said in rows]
    return Comparison(
        images=len(rows),
        agree=sum(own == said for _, own, said in rows),
        right=sum(right),
        other_right=sum(other),
        won=sum(own and not said for own, said in zip(right, other, strict=True)),
        lost=sum(said and not own for own, said in zip(right, other, strict=True)),
        left_out=left_out,
    )


def renamed(answers: Mapping[str, Answered], names: Mapping[str, str]) -> dict[str, Answered]:
    """The answers by image, with labels replaced by another adapter's `names` for the same classes."""
    return {
        image: Answered(told.split, names.get(told.label, told.label), names.get(told.prediction, told.prediction))
        for image, told in answers.items()
    }


def measured(answers: Mapping[str, Answered]) -> dict[str, Answered]:
    """The answers, by image, that measure the adapter: those not of the training split."""
    return {image: answer for image, answer in answers.items() if answer.split != "training"}


def in_common(own: Mapping[str, Answered], other: Mapping[str, Answered]) -> Comparison:
    """Compare two adapters on the images, by SHA-256, that are measured for both with the same label."""
    mine, theirs = measured(own), measured(other)
    shared = [image for image in mine if image in theirs and mine[image].label == theirs[image].label]
    rows = ((mine[image].label, mine[image].prediction, theirs[image].prediction) for image in shared)
    return compare(rows, left_out=len(mine.keys() | theirs.keys()) - len(shared))
