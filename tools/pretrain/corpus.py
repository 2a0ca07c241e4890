"""The training set in memory: pictures, how often each is drawn, and the captions that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tools.pretrain.captions import CaptionBank
from tools.pretrain.render import Pixels, render_set
from tools.pretrain.sources import (
    EMOJI_SETS,
    ICON_SETS,
    MONOCHROME_SETS,
    Icon,
    held_out,
    load_emoji,
    read_set,
)

_SET_WEIGHT = {"game-icons": 0.12, "circle-flags": 0.1, "meteocons": 0.2}
_GENDERED = ("man ", "woman ", "men ", "women ", "family ", "kiss ", "couple ")


@dataclass(frozen=True)
class Gallery:
    """Icons and their pictures, row by row."""

    icons: list[Icon]
    pixels: Pixels


@dataclass(frozen=True)
class Corpus:
    """What training draws from."""

    gallery: Gallery
    bank: CaptionBank
    concept: npt.NDArray[np.int64]
    monochrome: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float64]


def load_gallery(packages: Path, cache: Path, sets: Sequence[str], workers: int = 2) -> Gallery:
    """Collects and renders sets, or takes them from the cache."""
    table = load_emoji(packages)
    icons: list[Icon] = []
    pixels = []
    for set_name in sets:
        found = list(read_set(packages, set_name, table))
        pictures, drawn = render_set(found, cache / f"{set_name}.npz", workers)
        icons += [icon for icon, ok in zip(found, drawn, strict=True) if ok]
        pixels.append(pictures[drawn])
    return Gallery(icons, np.concatenate(pixels))


def load_corpus(packages: Path, cache: Path, workers: int = 2) -> Corpus:
    """The training sets without the held-out concepts."""
    table = load_emoji(packages)
    everything = load_gallery(packages, cache, (*EMOJI_SETS, *ICON_SETS), workers)
    secret = [f" {emoji.label.lower()} " for code, emoji in table.by_code.items() if held_out(code)]
    keep = np.array([_may_train(icon, secret) for icon in everything.icons])
    icons = [icon for icon, ok in zip(everything.icons, keep, strict=True) if ok]
    bank = CaptionBank(icons)
    weight = np.array([_weight(icon) for icon in icons])
    return Corpus(
        Gallery(icons, everything.pixels[keep]),
        bank,
        np.array([bank.concept_index[icon.concept] for icon in icons]),
        np.array([icon.set_name in MONOCHROME_SETS for icon in icons]),
        weight / weight.sum(),
    )


def _may_train(icon: Icon, secret: Sequence[str]) -> bool:
    """Strict for the icon sets: a held-out label anywhere in the name keeps the icon out as well."""
    if icon.emoji is not None:
        return not held_out(icon.emoji.code)
    return not any(label in f" {icon.name} " for label in secret)


def _weight(icon: Icon) -> float:
    """How often an icon is drawn: the many flags, families and unnamed glyphs must not crowd out the rest."""
    if icon.emoji is None:
        return _SET_WEIGHT.get(icon.set_name, 0.2)
    weight = _SET_WEIGHT.get(icon.set_name, 1.0)
    if icon.emoji.subgroup == "country-flag":
        return min(weight, 0.15)
    if icon.emoji.label.lower().startswith(_GENDERED):
        return weight * 0.25
    return weight
