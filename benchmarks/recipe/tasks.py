"""The tasks: few shots of one style, tested in that style, in the others, and on classes that were not trained."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.recipe.pictures import SHOTS, Labelled, Pictures, Split

SAMPLES = Path(__file__).resolve().parents[2] / "samples/photos"
PACS_STYLES = ("photo", "sketch", "art_painting")
KIN = ("animal_with_hooves", "animal_with_paws", "building")
"""Classes of the samples that classes of PACS belong to: no strangers to an adapter of PACS."""
DRAWN_SHOTS = 8
"""Of each class of drawings, of which there are 13 to 16."""
TAUGHT = 4
"""Classes of a half."""
NOTHING = Pictures("none", {"": {}})

Part = Literal["all", "half", "uneven"]
"""Who trains: all classes; TAUGHT of them, the others being the new ones; all, half of them with a quarter of the
shots."""


@dataclass(frozen=True)
class Source:
    """A trained style. new: whose first style has the classes that are strangers to all of its classes."""

    pictures: Pictures
    style: str
    shots: int = SHOTS
    new: Pictures = NOTHING

    @property
    def name(self) -> str:
        """As options and results have it."""
        return f"{self.pictures.name}/{self.style}"

    @property
    def files(self) -> list[Path]:
        """Every picture that some split may hold."""
        sets = (*self.pictures.styles.values(), next(iter(self.new.styles.values())))
        return [file for by_class in sets for files in by_class.values() for file in files]

    def split(self, part: Part, seed: int) -> Split:
        """One task under one seed; the same pictures of a class train in every part that holds them all."""
        classes = tuple(self.pictures.styles[self.style])
        chosen = _drawn(classes, TAUGHT if part == "half" else len(classes) // 2, seed)
        if part != "half":
            whole = self.pictures.split(self.style, seed, self.new, self.shots)
            return whole if part == "all" else _thinned(whole, chosen, self.shots // 4)
        rest = self.pictures.only(set(classes) - set(chosen)).styles[self.style]
        new = Pictures("rest", {self.style: rest})
        return self.pictures.only(chosen).split(self.style, seed, new, self.shots)


def sources(pacs: Path) -> list[Source]:
    """Those of PACS, if the folder is there, and those of the samples."""
    samples = Pictures.of_samples(SAMPLES)
    made = [Source(samples, "photographs"), Source(samples, "drawings", DRAWN_SHOTS)]
    if not pacs.is_dir():
        return made
    pictures = replace(Pictures.of_folders(pacs), name="pacs")
    strangers = samples.only(set(samples.styles["photographs"]) - set(KIN))
    return [Source(pictures, style, new=strangers) for style in PACS_STYLES if style in pictures.styles] + made


def rare(train: Labelled) -> set[int]:
    """Positions of the classes with fewer pictures than others have."""
    counts = Counter(train.targets)
    return {target for target, count in counts.items() if count < max(counts.values())}


def _thinned(split: Split, chosen: Collection[str], shots: int) -> Split:
    """The chosen classes, by their folders' names, keep all of their training pictures, the others `shots`."""
    found = split.train
    whole = {name.replace("_", " ") for name in chosen}
    rows: list[int] = []
    for target, label in enumerate(found.labels):
        own = [row for row, other in enumerate(found.targets) if other == target]
        rows += own if label in whole else own[:shots]
    files, targets = [found.files[row] for row in rows], [found.targets[row] for row in rows]
    return Split(Labelled(found.labels, files, targets), split.tests)


def _drawn(classes: Sequence[str], count: int, seed: int) -> list[str]:
    return random.Random(f"{seed}/half").sample(classes, count)  # noqa: S311 - a split, not a secret
