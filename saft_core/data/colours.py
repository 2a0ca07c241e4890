"""Colour profiles (ICC): from the colours a file means to sRGB, which models are trained on.

A profile comes from strangers too: one that is broken, or belongs to another kind of picture, is as good as none.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

REMEMBERED_PROFILE_BYTES = 1 << 16
"""Profiles up to this size are set up once: those of cameras and screens have 600 to 4,000 bytes."""
REMEMBERED_PROFILES = 64
SAME_COLOUR = 2
"""Steps of 255 that a profile may move a colour and still be taken for sRGB itself, which most files name."""

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def correction(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What takes pictures of `mode` (RGB, L or CMYK) from this profile to sRGB in RGB.

    None where there is nothing to do: no profile, a broken one, one of other colours, or sRGB by whatever name.
    """
    if not profile or mode not in _SPACES:
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
    """Whether it leaves colours spread over the whole cube, or all greys, where they are."""
    if mode == "CMYK":
        return False
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    colours = Image.fromarray(cube if mode == "RGB" else np.arange(256, dtype=np.uint8)[None])
    moved = np.asarray(transform.apply(colours), dtype=int) - np.asarray(colours.convert("RGB"))
    return bool(np.abs(moved).max() <= SAME_COLOUR)
