"""Splitting labelled samples into a part to train on and a part held out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence


def stratified_split(labels: Sequence[int], contents: Sequence[str], share: float) -> tuple[list[int], list[int]]:
    """Split sample indices class by class, by what the samples are and nothing else.

    `labels[i]` is the class of sample i, `contents[i]` a hash of its picture in hex, and `share` in (0, 1) the part to
    hold out: of each class those with the lowest hashes, which is a draw that the same samples always repeat. Copies
    stay together, and what has copies in several classes stays in training. Returns (train, held-out) indices, each
    ascending; together they are all of `range(len(labels))`. A class of two or more different samples of its own keeps
    at least one on each side; any other stays in training.

    Raises ValueError if `share` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, both excluded, and is {share}")
    sizes = [Counter[str]() for _ in range(max(labels, default=-1) + 1)]
    for label, content in zip(labels, contents, strict=True):
        sizes[label][content] += 1
    classes_with = Counter(content for copies in sizes for content in copies)
    taken: set[str] = set()
    for copies in sizes:
        target = _held_out_count(copies.total(), share)
        own = {content: size for content, size in sorted(copies.items()) if classes_with[content] == 1}
        taken |= _draw(own, target, leave=1 if len(own) == len(copies) else 0)
    held_out = [index for index, content in enumerate(contents) if content in taken]
    return [index for index, content in enumerate(contents) if content not in taken], held_out


def draw_shots(labels: Sequence[int], shots: int, seed: int) -> list[int]:
    """Indices, ascending, of `shots` samples of each class, or all of a class that has no more; drawn by the seed."""
    places: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        places.setdefault(label, []).append(index)
    generator = random.Random(seed)  # noqa: S311 (a draw, not a secret)
    return sorted(index for _, own in sorted(places.items()) for index in generator.sample(own, min(shots, len(own))))


def _draw(sizes: dict[str, int], target: int, leave: int) -> set[str]:
    """Contents, in their order, whose `sizes` add up to `target` at most; the smallest if none is as small as that.

    At least `leave` of them are not drawn.
    """
    drawn: set[str] = set()
    if not target or len(sizes) <= leave:
        return drawn
    rest = target
    for content, size in sizes.items():
        if size <= rest and len(sizes) - len(drawn) > leave:
            drawn.add(content)
            rest -= size
    return drawn or {min(sizes, key=lambda content: sizes[content])}


def _held_out_count(size: int, share: float) -> int:
    """How many of a class's `size` samples are held out."""
    if size < 2:
        return 0
    return min(max(int(size * share + 0.5), 1), size - 1)
