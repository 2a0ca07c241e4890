"""Colour profiles (ICC): from the colours that a file means to sRGB, which models are trained on.

Pillow's LittleCMS does the conversion. Here stands what it leaves to its caller: a profile that is broken, huge or of
another kind of picture counts as none, and profiles that mean sRGB, as most do, are recognised once and skipped.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 << 20
"""A larger profile is ignored: those of printing presses have up to 3 MB."""
REMEMBERED_PROFILE_BYTES = 1 << 16
"""Transforms of profiles up to this size are cached: those of cameras and screens have 600 to 4,000 bytes."""
REMEMBERED_PROFILES = 64
SAME_COLOUR = 2
"""By how many steps of 255 a profile may move a colour and still count as sRGB."""

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def correction(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform of images of `mode` (RGB, L or CMYK) from this profile to sRGB, in mode RGB.

    None where there is nothing to do: no profile, a broken or huge one, one of another mode, or sRGB by whatever name.
    """
    if not 0 < len(profile) <= MAX_PROFILE_BYTES or mode not in _SPACES:
        return None
    return _remembered(profile, mode) if len(profile) <= REMEMBERED_PROFILE_BYTES else _made(profile, mode)


def _made(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(source, _SRGB, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if _changes_nothing(transform, mode) else transform


_remembered = lru_cache(REMEMBERED_PROFILES)(_made)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the transform leaves colours spread over the whole cube, or all greys, where they are."""
    if mode == "CMYK":
        return False
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    colours = Image.fromarray(cube if mode == "RGB" else np.arange(256, dtype=np.uint8)[None])
    moved = np.asarray(transform.apply(colours), dtype=int) - np.asarray(colours.convert("RGB"))
    return bool(np.abs(moved).max() <= SAME_COLOUR)
