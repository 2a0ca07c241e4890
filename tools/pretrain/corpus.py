"""The drawings that are trained on: which icons, how often each is looked at, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tools.pretrain.render import Pixels, render_set
from tools.pretrain.sources import (
    EMOJI_SETS,
    ICON_SETS,
    MONOCHROME_SETS,
    EmojiTable,
    Icon,
    held_out,
    load_emoji,
    read_set,
)
from tools.pretrain.taxonomy import CATEGORIES, category_of

_SET_WEIGHT = {"game-icons": 0.12, "circle-flags": 0.05, "meteocons": 0.2}
MOST_OF_A_SET = 1300
_GENDERED = ("man ", "woman ", "men ", "women ", "family ", "kiss ", "couple ")


@dataclass(frozen=True)
class Gallery:
    """Icons and their pictures, uint8 RGBA (N, RENDER_SIZE, RENDER_SIZE, 4), row by row."""

    icons: list[Icon]
    pixels: Pixels


def load_gallery(packages: Path, cache: Path, sets: Sequence[str], workers: int) -> Gallery:
    """Collects and renders sets, or takes them from the cache."""
    table = load_emoji(packages)
    icons: list[Icon] = []
    pixels = []
    for set_name in sets:
        found = _some(list(read_set(packages, set_name, table)))
        pictures, drawn = render_set(found, cache / f"{set_name}.npz", workers)
        icons += [icon for icon, ok in zip(found, drawn, strict=True) if ok]
        pixels.append(pictures[drawn])
    return Gallery(icons, np.concatenate(pixels))


def _some(icons: list[Icon]) -> list[Icon]:
    """At most MOST_OF_A_SET of them: the four thousand glyphs of one set teach less than another set does."""
    if len(icons) <= MOST_OF_A_SET:
        return icons
    rows = np.random.default_rng(0).choice(len(icons), MOST_OF_A_SET, replace=False)
    return [icons[row] for row in sorted(rows)]


def load_training(packages: Path, cache: Path, workers: int) -> Gallery:
    """The training sets without the held-out concepts."""
    gallery = load_gallery(packages, cache, (*EMOJI_SETS, *ICON_SETS), workers)
    secret = _held_out_labels(load_emoji(packages))
    rows = [row for row, icon in enumerate(gallery.icons) if _may_train(icon, secret)]
    return Gallery([gallery.icons[row] for row in rows], gallery.pixels[rows])


def is_monochrome(icon: Icon) -> bool:
    """Whether it is drawn in one colour, which then may be any."""
    return icon.set_name in MONOCHROME_SETS


def chances(icons: Sequence[Icon]) -> npt.NDArray[np.float64]:
    """How often each is looked at, adding up to 1."""
    weight = np.array([_weight(icon) for icon in icons])
    chance: npt.NDArray[np.float64] = weight / weight.sum()
    return chance


def captions(icon: Icon, row: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Rows of the phrases that name an icon, and of those that say what kind of thing it is."""
    named = [icon.emoji.label.lower(), *icon.emoji.keywords] if icon.emoji else [icon.name, *icon.name.split()[-1:]]
    category = category_of(icon.emoji) if icon.emoji else None
    kinds = CATEGORIES[category] if category else ()
    return _rows(named, row), _rows(kinds, row)


def _rows(texts: Sequence[str], row: Mapping[str, int]) -> list[int]:
    return [row[text] for text in dict.fromkeys(texts) if text in row]


def _held_out_labels(table: EmojiTable) -> list[str]:
    return [f" {emoji.label.lower()} " for code, emoji in table.by_code.items() if held_out(code)]


def _may_train(icon: Icon, secret: Sequence[str]) -> bool:
    """Strict for the icon sets: a held-out label anywhere in the name keeps the icon out as well."""
    if icon.emoji is not None:
        return not held_out(icon.emoji.code)
    return not any(label in f" {icon.name} " for label in secret)


def _weight(icon: Icon) -> float:
    """How often an icon is drawn: the many flags, families and unnamed glyphs must not crowd out the rest."""
    if icon.emoji is None:
        return _SET_WEIGHT.get(icon.set_name, 0.25)
    weight = _SET_WEIGHT.get(icon.set_name, 1.0)
    if icon.emoji.subgroup == "country-flag":
        return min(weight, 0.1)
    if icon.emoji.label.lower().startswith(_GENDERED):
        return weight * 0.25
    return weight
