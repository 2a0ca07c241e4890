"""Turns the icons into one array of pictures, cached outside the repository: rendering is the slow, pure part."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from tools.pretrain.sources import Icon

Pixels = npt.NDArray[np.uint8]

RENDER_SIZE = 128
"""A drawing takes three fifths of the model's 160 pixels or more."""


def rasterise(svg: str, size: int = RENDER_SIZE) -> Pixels | None:
    """One icon as `size x size` RGBA, centred, or None if the renderer refuses it or draws nothing."""
    try:
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, height=size, skip_system_fonts=True))
    except ValueError:
        return None
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGBA")
    picture.thumbnail((size, size), Image.Resampling.BICUBIC)
    canvas = Image.new("RGBA", (size, size))
    canvas.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    pixels = np.asarray(canvas)
    return pixels if pixels[..., 3].max() > 0 else None


def render_set(icons: Sequence[Icon], cache: Path, workers: int) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """All pictures of one set and which of them could be drawn, from the cache where it has them."""
    if cache.exists():
        with np.load(cache) as stored:
            return stored["pixels"], stored["drawn"]
    with ProcessPoolExecutor(workers) as pool:
        rendered = list(pool.map(rasterise, (icon.svg for icon in icons), chunksize=16))
    blank = np.zeros((RENDER_SIZE, RENDER_SIZE, 4), np.uint8)
    pixels = np.stack([blank if picture is None else picture for picture in rendered])
    drawn = np.array([picture is not None for picture in rendered])
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial = cache.with_suffix(".partial.npz")
    np.savez(partial, pixels=pixels, drawn=drawn)
    partial.replace(cache)
    return pixels, drawn


def on_white(pixels: Pixels) -> Image.Image:
    """A drawing, RGBA (H, W, 4), as an RGB picture on white."""
    drawing = Image.fromarray(pixels, "RGBA")
    canvas = Image.new("RGBA", drawing.size, "white")
    return Image.alpha_composite(canvas, drawing).convert("RGB")
