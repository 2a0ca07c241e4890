"""Pixels of any mode to 8-bit RGB, as a person would see them on a white page.

Pillow's own conversions clip 16-bit greys to black and white and drop transparency; `ImageOps.exif_transpose` parses
the whole EXIF block to turn a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from saft_core.data.colours import correction

Grey: TypeAlias = npt.NDArray[np.uint8]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class GreyScale:
    """What deep greys mean: the value of white in unsigned 16-bit greys, and whether the largest value is black."""

    white: int
    is_inverted: bool


SIXTEEN_BITS = GreyScale(65535, is_inverted=False)


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned as its EXIF orientation (1 to 8) says."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def to_rgb(image: Image.Image, profile: bytes = b"", greys: GreyScale = SIXTEEN_BITS) -> Image.Image:
    """An RGB copy without metadata: deep greys scaled to 8 bit, transparency laid on white, colours in sRGB.

    profile: the ICC profile of the file; see `colours.correction` for which ones count. greys: what the values mean
    where the mode is I, F or one of I;16.
    """
    own = correction(profile, image.mode) if image.mode in ("L", "CMYK") and not image.has_transparency_data else None
    rgb = own.apply(image) if own else _uncorrected(image, greys)
    if image.mode not in ("CMYK", "LAB") and (of_rgb := correction(profile, "RGB")):
        of_rgb.apply_in_place(rgb)
    rgb.info.clear()  # an EXIF block left here would have the next reader turn the image once more
    return rgb


def _uncorrected(image: Image.Image, greys: GreyScale) -> Image.Image:
    """An RGB copy of colours that are taken for sRGB."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_grey(image, greys)).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image if image.mode == "RGBA" else image.convert("RGBA"))
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """An RGBA image over a white page."""
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return page


def _grey(image: Image.Image, greys: GreyScale) -> Grey:
    """Greys of more than 8 bits as 8 bits, shape (height, width); the grey that stands for transparent is white."""
    values: npt.NDArray[Any] = np.asarray(image)
    grey = _scaled(values, greys.white) if image.mode.startswith("I;16") else _stretched(values)
    if greys.is_inverted:
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return grey


def _scaled(values: npt.NDArray[Any], full: int) -> Grey:
    """Unsigned 16-bit values with white at `full`, through a table: no copy larger than the result."""
    table: Grey = np.minimum(np.arange(65536) * (255 / full) + 0.5, 255).astype(np.uint8)
    grey: Grey = table[values]
    return grey


def _stretched(values: npt.NDArray[Any]) -> Grey:
    """32-bit integers or floats, which have no agreed white.

    White is the smallest usual full scale that holds every value (1 for floats, 255, 65535); values outside of those
    are stretched from darkest to lightest. What is not a number is black.
    """
    known = np.where(np.isfinite(values), values, 0)
    low, high = float(known.min()), float(known.max())
    usual = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    full = next((full for full in usual if low >= 0 and high <= full), None)
    black, white = (0.0, full) if full else (low, high)
    scale = 255 / ((white - black) or 1.0)
    grey: Grey = np.empty(values.shape, np.uint8)
    for row, line in zip(grey, known, strict=True):  # by rows: the whole image in double precision is too large
        row[:] = (line.astype(np.float64) - black) * scale + 0.5
    return grey
