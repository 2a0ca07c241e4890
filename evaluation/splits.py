"""Which images train, which choose settings, and which classes are new: CoOp's protocol (arXiv 2109.01134).

Base-to-new is CoCoOp's (arXiv 2203.05557). Draws are those of Python's `random.seed(seed)`, in the protocol's order,
without touching the state that a process shares.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evaluation.datasets.dataset import DataSet, TestSet
from saft_core.data.samples import Sample
from saft_core.templates import Template

MOST_HELD = 4
"""Shots a class to choose settings by, at most."""


@dataclass(frozen=True)
class Shots:
    """What a method is given: a few labelled images of each class.

    train: what it learns from. val: held shots, which settings may be chosen by. labels: class names, in label order.
    """

    labels: tuple[str, ...]
    template: Template
    train: Sequence[Sample]
    val: Sequence[Sample]

    @property
    def sha256(self) -> str:
        """Of the paths and labels of `train` and `val`, in order, in hex: the same for the same draw."""
        drawn = [[(one.path, one.label) for one in part] for part in (self.train, self.val)]
        return hashlib.sha256(json.dumps(drawn).encode()).hexdigest()


def draw(dataset: DataSet, shots: int, seed: int) -> Shots:
    """`shots` training images of each class and then min(shots, 4) validation images of each that has some.

    Classes come in the order in which the data set first shows them. A class with fewer images repeats some.
    """
    if shots < 1:
        raise ValueError(f"{shots} shots: it takes one of each class or more")
    stream = random.Random(seed)  # noqa: S311 - a split, not a secret
    train = _drawn(dataset.train, shots, stream)
    val = _drawn(dataset.val, min(shots, MOST_HELD), stream)
    return Shots(dataset.labels, dataset.template, train, val)


def base_half(shots: Shots) -> Shots:
    """The first ceil(n / 2) of n labels and their images."""
    return _of_labels(shots, 0, _middle(shots.labels))


def new_half(shots: Shots) -> Shots:
    """The other labels and their images; labels count up from 0 anew."""
    return _of_labels(shots, _middle(shots.labels), len(shots.labels))


def of_test(test: TestSet, half: Callable[[Shots], Shots]) -> TestSet:
    """The same half, `base_half` or `new_half`, of a test set."""
    kept = half(Shots(test.labels, test.template, test.samples, ()))
    return replace(test, labels=kept.labels, samples=kept.train)


def halved(shots: Shots, seed: int) -> tuple[Shots, Sequence[Sample]]:
    """Shots that are half as many of each class, at least one, and the other shots, by which settings may be chosen.

    For data sets without a validation part. No image is in both, though one was drawn twice; a class with one image
    is not in the second.
    """
    stream = random.Random(seed)  # noqa: S311 - a split, not a secret
    train: list[Sample] = []
    held: list[Sample] = []
    for images in _by_label(shots.train).values():
        distinct = list({one.path: one for one in images}.values())
        mixed = stream.sample(distinct, len(distinct))
        middle = (len(mixed) + 1) // 2
        train += mixed[:middle]
        held += mixed[middle:]
    return replace(shots, train=train, val=()), held


def _drawn(samples: Sequence[Sample], shots: int, stream: random.Random) -> list[Sample]:
    drawn: list[Sample] = []
    for images in _by_label(samples).values():
        drawn += stream.sample(images, shots) if len(images) >= shots else stream.choices(images, k=shots)
    return drawn


def _by_label(samples: Sequence[Sample]) -> dict[int, list[Sample]]:
    """In the order in which the labels first come."""
    found: dict[int, list[Sample]] = {}
    for one in samples:
        found.setdefault(one.label, []).append(one)
    return found


def _middle(labels: Sequence[str]) -> int:
    return (len(labels) + 1) // 2


def _of_labels(shots: Shots, start: int, stop: int) -> Shots:
    def part(samples: Sequence[Sample]) -> list[Sample]:
        return [replace(one, label=one.label - start) for one in samples if start <= one.label < stop]

    return replace(shots, labels=shots.labels[start:stop], train=part(shots.train), val=part(shots.val))
