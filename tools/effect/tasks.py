"""Three tasks on pictures that pre-training never saw: sixteen shots a class in one style.

They are tested in that style and in the others that `tools.pretrain` holds out. Splits are drawn anew for every seed.
The classes of one task are the new classes of the one before it: names that an adapter was never trained on.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tools.pretrain.corpus import load_gallery
from tools.pretrain.make_samples import CLASSES as SAMPLE_CLASSES
from tools.pretrain.render import on_white
from tools.pretrain.sources import HELD_OUT_SETS
from tools.pretrain.taxonomy import category_of

SHOTS = 16
MOST_PICTURES = 56
"""Pictures of one class and style: the many faces and people must not outweigh the rest."""

TASKS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "things": SAMPLE_CLASSES,
    "nature": {
        "mammal": ("mammal",),
        "bird_or_reptile": ("bird", "reptile"),
        "small_animal": ("insect", "sea animal"),
        "plant": ("plant", "flower"),
        "fruit_or_vegetable": ("fruit", "vegetable"),
        "dish": ("dish",),
        "dessert_or_drink": ("dessert", "drink"),
        "weather": ("weather",),
        "sky_or_landscape": ("heavenly body", "landscape"),
        "vehicle": ("land vehicle", "train", "boat", "aircraft"),
    },
    "people": {
        "face": ("face",),
        "person": ("person",),
        "worker": ("worker",),
        "athlete": ("athlete",),
        "creature": ("creature",),
        "family": ("family",),
        "hand_or_body": ("hand gesture", "body part"),
        "heart_or_comic": ("heart", "comic symbol"),
        "clothes": ("clothing", "footwear", "headwear"),
        "money_or_mail": ("money", "mail"),
    },
}
"""Task to classes to categories of `tools.pretrain.taxonomy`: how somebody might sort an icon library."""


@dataclass(frozen=True)
class Labelled:
    """Pictures with the positions of their classes in `labels`."""

    labels: tuple[str, ...]
    pictures: Sequence[Image.Image]
    targets: Sequence[int]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Split:
    """One task under one seed."""

    train: Labelled
    same_style: Labelled
    unseen_styles: Labelled
    new_classes: Labelled


class Pictures:
    """The held-out styles by category, one picture a concept."""

    def __init__(self, packages: Path, cache: Path) -> None:
        self._by_style = {style: _by_category(packages, cache, style) for style in HELD_OUT_SETS}

    def split(self, task: str, seed: int) -> Split:
        """Shots and tests of `task`; no picture is in two parts. Only the first two parts depend on the seed."""
        classes = TASKS[task]
        own, *others = HELD_OUT_SETS
        drawn = {name: self._draw(own, categories, seed) for name, categories in classes.items()}
        names = list(TASKS)
        new = TASKS[names[(names.index(task) + 1) % len(names)]]
        return Split(
            train=_label({name: found[:SHOTS] for name, found in drawn.items()}),
            same_style=_label({name: found[SHOTS:] for name, found in drawn.items()}),
            unseen_styles=_label(
                {
                    name: [picture for style in others for picture in self._draw(style, categories)]
                    for name, categories in classes.items()
                }
            ),
            new_classes=_label({name: self._draw(own, categories) for name, categories in new.items()}),
        )

    def _draw(self, style: str, categories: Sequence[str], seed: int = 0) -> list[Image.Image]:
        found = [picture for category in categories for picture in self._by_style[style].get(category, ())]
        random.Random(f"{seed}/{style}/{categories}").shuffle(found)  # noqa: S311 - a split, not a secret
        return found[:MOST_PICTURES]


def halves(train: Labelled, seed: int, kept: int) -> tuple[Labelled, Labelled]:
    """`kept` shots of each class to train on and the rest to choose settings by."""
    generator = random.Random(seed)  # noqa: S311 - a split, not a secret
    first: dict[str, list[Image.Image]] = {}
    second: dict[str, list[Image.Image]] = {}
    for position, name in enumerate(train.labels):
        found = [picture for picture, target in zip(train.pictures, train.targets, strict=True) if target == position]
        generator.shuffle(found)
        first[name], second[name] = found[:kept], found[kept:]
    return _label(first), _label(second)


def _label(by_class: Mapping[str, Sequence[Image.Image]]) -> Labelled:
    rows = [(picture, position) for position, found in enumerate(by_class.values()) for picture in found]
    return Labelled(tuple(by_class), [picture for picture, _ in rows], [position for _, position in rows])


def _by_category(packages: Path, cache: Path, style: str) -> dict[str, list[Image.Image]]:
    gallery = load_gallery(packages, cache, (style,))
    found: dict[str, list[Image.Image]] = {}
    seen: set[str] = set()
    for icon, pixels in zip(gallery.icons, gallery.pixels, strict=True):
        category = category_of(icon.emoji) if icon.emoji else None
        if category is not None and icon.concept not in seen:
            seen.add(icon.concept)
            found.setdefault(category, []).append(on_white(pixels))
    return found
