"""Which photograph lands in which part, and which drawings are taken: a seeded shuffle, and no model."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from tools.samples.catalogue import DRAWINGS, OTHER_DRAWINGS, PHOTOGRAPHS, photographs_of
from tools.samples.originals import Original

PARTS = ("train", "test", "shifted")
TRAIN_PER_CLASS = 16
LEAST_TEST_PER_CLASS, MOST_TEST_PER_CLASS = 10, 14
LEAST_DRAWN_PER_CLASS, MOST_DRAWN_PER_CLASS = 12, 16
SEED = 20250117

T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """One picture of the samples: where it lies and what it was."""

    part: str
    label: str
    original: Original

    @property
    def file(self) -> str:
        """Its path below the folder of the samples."""
        ending = "png" if self.part == "shifted" else "webp"
        return f"{self.part}/{self.label}/{slug(self.original.name)}.{ending}"


def slug(name: str) -> str:
    """A file name out of a short name: the collection and the last two parts of the path."""
    collection, *rest = name.split("/")
    stem = [part for part in rest[-2:] if part not in {"resource", "images"}]
    stem[-1] = re.sub(r"\.\w+$", "", stem[-1])
    return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in (collection, *stem))


def shuffled(values: Iterable[T], salt: str) -> list[T]:
    """The values in an order that depends on the seed and nothing else."""
    order = list(values)
    random.Random(f"{SEED}/{salt}").shuffle(order)  # noqa: S311 - a split, not a secret
    return order


def split(label: str, originals: Mapping[str, Original]) -> Iterator[Sample]:
    """The photographs of a class, in training and test. Raises ValueError when there are too few."""
    order = shuffled(photographs_of(label, originals), label)
    if len(order) < TRAIN_PER_CLASS + LEAST_TEST_PER_CLASS:
        raise ValueError(f"{label}: {len(order)} photographs are too few")
    for place, name in enumerate(order[: TRAIN_PER_CLASS + MOST_TEST_PER_CLASS]):
        yield Sample("train" if place < TRAIN_PER_CLASS else "test", label, originals[name])


def shifted(label: str, icons: Sequence[Sequence[Original]], originals: Mapping[str, Original]) -> Iterator[Sample]:
    """The drawings of a class. Raises ValueError when there are too few."""
    sets = [*(shuffled(drawings, label) for drawings in icons)]
    sets.append([originals[name] for name in OTHER_DRAWINGS.get(label, ())])
    taken = list(one_a_concept(sets))[:MOST_DRAWN_PER_CLASS]
    if len(taken) < LEAST_DRAWN_PER_CLASS:
        raise ValueError(f"{label}: {len(taken)} drawings are too few")
    yield from (Sample("shifted", label, one) for one in taken)


def one_a_concept(sets: Sequence[Sequence[Original]]) -> Iterator[Original]:
    """The drawings in the order in which they are taken: a concept's first drawings before anybody's second."""
    seen: set[str] = set()
    second: list[Original] = []
    for drawing in (drawing for drawings in sets for drawing in drawings):
        concept = PurePosixPath(drawing.name).stem
        if concept in seen:
            second.append(drawing)
        else:
            seen.add(concept)
            yield drawing
    yield from second


def choose(originals: Mapping[str, Original], icons: Mapping[str, Sequence[Sequence[Original]]]) -> list[Sample]:
    """All samples, in the order in which they are listed."""
    samples = [sample for label in PHOTOGRAPHS for sample in split(label, originals)]
    samples += [sample for label in DRAWINGS for sample in shifted(label, icons[label], originals)]
    return sorted(samples, key=lambda sample: (PARTS.index(sample.part), sample.file))
