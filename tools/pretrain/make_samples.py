"""Makes the labelled sample pictures from the two sets that pre-training never saw.

Run as `python -m tools.pretrain.make_samples --packages node_modules --out samples/icons`. The classes are categories
of the Unicode tables, merged where that is natural. Which concept lands in which split is decided by a seeded
shuffle, never by what a model makes of it.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from tools.pretrain.render import rasterise
from tools.pretrain.sources import Icon, load_emoji, read_set
from tools.pretrain.taxonomy import category_of

STYLE, SHIFTED_STYLE = "twemoji", "fxemoji"
TRAIN_PER_CLASS = 16
MOST_PER_CLASS = 16
SIZE = 128
SEED = 20240703

CLASSES: Mapping[str, tuple[str, ...]] = {
    "building": ("building",),
    "button": ("button", "arrow"),
    "electronic_device": ("electronic device", "camera"),
    "household_item": ("household item", "tableware", "lock", "medicine"),
    "leisure": ("game", "sport"),
    "letter_or_number": ("lettering",),
    "party": ("festivity", "award"),
    "sign": ("sign",),
    "stationery": ("office supply", "writing tool"),
    "symbol": ("other symbol", "religion", "zodiac"),
}
"""Folder name to categories: how somebody might sort an icon library.

Chosen among groupings of categories that the base names badly, because there an adaptation has something to add; what
it names well already (mammals, clothes, weather) it does not name better after sixteen more examples.
"""

LEFT_OUT = frozenset(
    {
        "wedding",
        *("abacus", "candle", "clapper board", "diya lamp", "electric plug", "film frames", "red paper lantern"),
        *("magnifying glass tilted left", "magnifying glass tilted right"),
        *("computer disk", "dvd", "floppy disk", "optical disk", "videocassette"),
        *("crystal ball", "magic wand", "mirror ball", "piñata"),
        "wastebasket",
        *("skateboard", "roller skate", "seat", "parachute", "satellite", "manual wheelchair", "motorized wheelchair"),
        *("paw prints", "footprints", "pig nose", "feather", "wing", "phoenix", "spider web", "microbe"),
        *("nest with eggs", "empty nest"),
    }
)
"""Emojis whose picture could be argued to show another class."""

UNLIKE_NAMES = {SHIFTED_STYLE: frozenset({"keyboard", "downwards button"})}
"""Drawings that do not show what they are called: a piano, a hand."""


def class_of(icon: Icon) -> str | None:
    """The class an icon is labelled with, or None if it is left out."""
    if icon.emoji is None or icon.emoji.label in LEFT_OUT | UNLIKE_NAMES.get(icon.set_name, frozenset()):
        return None
    category = category_of(icon.emoji)
    return next((name for name, categories in CLASSES.items() if category in categories), None)


def labelled(icons: Iterable[Icon]) -> dict[str, list[Icon]]:
    """One icon a concept, by class, in a stable order."""
    found: dict[str, dict[str, Icon]] = {name: {} for name in CLASSES}
    for icon in icons:
        name = class_of(icon)
        if name is not None:
            found[name].setdefault(icon.concept, icon)
    return {name: [concepts[key] for key in sorted(concepts)] for name, concepts in found.items()}


def shuffled(icons: list[Icon], salt: str) -> list[Icon]:
    """The icons in an order that depends on the seed and nothing else."""
    order = list(icons)
    random.Random(f"{SEED}/{salt}").shuffle(order)  # noqa: S311 - a split, not a secret
    return order


def write(icons: Iterable[Icon], folder: Path) -> int:
    """Draws icons on white into a folder; returns how many."""
    folder.mkdir(parents=True)
    count = 0
    for icon in icons:
        pixels = rasterise(icon.svg, SIZE - 16)
        if pixels is None or icon.emoji is None:
            continue
        drawing = Image.fromarray(pixels, "RGBA")
        canvas = Image.new("RGB", (SIZE, SIZE), "white")
        canvas.paste(drawing, (8, 8), drawing)
        canvas.save(folder / f"{_slug(icon.emoji.label)}.png", optimize=True)
        count += 1
    return count


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def make_samples(packages: Path, out: Path) -> None:
    """Writes `train`, `test` and `shifted`; what was there before is replaced, `SOURCES.md` stays."""
    table = load_emoji(packages)
    style = labelled(read_set(packages, STYLE, table))
    shifted = labelled(read_set(packages, SHIFTED_STYLE, table))
    for part in ("train", "test", "shifted"):
        shutil.rmtree(out / part, ignore_errors=True)
    for name in CLASSES:
        order = shuffled(style[name], f"{STYLE}/{name}")
        train, test = order[:TRAIN_PER_CLASS], order[TRAIN_PER_CLASS:][:MOST_PER_CLASS]
        other = shuffled(shifted[name], f"{SHIFTED_STYLE}/{name}")[:MOST_PER_CLASS]
        counts = (
            write(train, out / "train" / name),
            write(test, out / "test" / name),
            write(other, out / "shifted" / name),
        )
        print(f"{name:20} train {counts[0]:3}  test {counts[1]:3}  shifted {counts[2]:3}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("node_modules"))
    parser.add_argument("--out", type=Path, default=Path("samples/icons"))
    arguments = parser.parse_args()
    make_samples(arguments.packages, arguments.out)


if __name__ == "__main__":
    main()
