"""Splitting labelled samples into a part to train on and a part held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def stratified_split(labels: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Split sample indices class by class.

    `labels[i]` is the class of sample i, `share` in (0, 1) the part to hold out, and `seed` >= 0 makes the same split
    again. Returns (train, held-out) indices, each ascending; together they are all of `range(len(labels))`. A class
    of two or more keeps at least one sample on each side; a class of one stays in training.

    Raises ValueError if `share` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, both excluded, and is {share}")
    generator = np.random.default_rng(seed)
    held_out: list[int] = []
    for members in _members_by_class(labels):
        count = _held_out_count(len(members), share)
        held_out += generator.permutation(members)[:count].tolist()
    train = sorted(set(range(len(labels))) - set(held_out))
    return train, sorted(held_out)


def _members_by_class(labels: Sequence[int]) -> list[list[int]]:
    """The sample indices of each class, classes in ascending order."""
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    return [members[label] for label in sorted(members)]


def _held_out_count(size: int, share: float) -> int:
    """How many of a class's `size` samples are held out."""
    if size < 2:
        return 0
    return min(max(int(size * share + 0.5), 1), size - 1)
