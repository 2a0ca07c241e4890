"""Pictures as callers send them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 320, 240


def picture(seed: int) -> Image.Image:
    """A soft random RGB picture, 320 x 240."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image) -> bytes:
    """The same as a file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()
