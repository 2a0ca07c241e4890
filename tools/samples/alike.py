"""Whether two pictures show the same: a perceptual hash that a new size, format or mirroring leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 16
SAME = 10.0
"""Mean difference of the thumbnails, of 255, below which two pictures count as one."""

Thumbnail = npt.NDArray[np.float64]


def thumbnail(picture: Image.Image) -> Thumbnail:
    """What is left of a picture at 16 x 16, in colour: its margins of white cut off, as a cut-out may have any."""
    ink = np.asarray(picture.convert("L")) < 250
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if len(rows):
        picture = picture.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)


def difference(one: Thumbnail, other: Thumbnail) -> float:
    """Mean absolute difference of two thumbnails, or of one and the other's mirror image if that is less."""
    return float(min(np.abs(one - other).mean(), np.abs(one - other[:, ::-1]).mean()))


def alike(pictures: Iterable[Path]) -> list[tuple[Path, Path]]:
    """The pairs of picture files that show the same."""
    thumbnails = {}
    for path in pictures:
        with Image.open(path) as opened:
            thumbnails[path] = thumbnail(opened)
    pairs = combinations(thumbnails.items(), 2)
    return [(one, other) for (one, a), (other, b) in pairs if difference(a, b) < SAME]
