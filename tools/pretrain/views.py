"""What the image tower is shown: drawings in many styles, and crops of photographs. All uint8 RGB of one size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

SIZE = 160
Rng = np.random.Generator


def drawing_view(rgba: npt.NDArray[np.uint8], monochrome: bool, rng: Rng) -> Image.Image:
    """One look at a drawing `(H, W, 4)`: coloured, grey or in outline, on white, a colour or a gradient."""
    drawing = _placed(Image.fromarray(rgba, "RGBA"), rng)
    if monochrome:
        drawing = _inked(drawing, rng)
    style = rng.random()
    if style < 0.3:
        return _outline(drawing, rng)
    picture = _on_ground(drawing, rng)
    return ImageOps.grayscale(picture).convert("RGB") if style < 0.42 else picture


def photograph_view(photograph: Image.Image, rng: Rng) -> Image.Image:
    """A random crop of at least a tenth of the picture, mirrored at times."""
    share, ratio = rng.uniform(0.1, 1.0), np.exp(rng.uniform(-0.29, 0.29))
    width = min(photograph.width, round((photograph.width * photograph.height * share * ratio) ** 0.5))
    height = min(photograph.height, round((photograph.width * photograph.height * share / ratio) ** 0.5))
    left, top = _below(photograph.width - width + 1, rng), _below(photograph.height - height + 1, rng)
    box = (left, top, left + width, top + height)
    view = photograph.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box)
    return ImageOps.mirror(view) if rng.random() < 0.5 else view


def styled(view: Image.Image, rng: Rng) -> Image.Image:
    """What a photograph shows, as if painted, drawn in pencil or in outline, or printed in few colours."""
    kind = rng.random()
    if kind < 0.4:
        painted = view.filter(ImageFilter.ModeFilter(int(rng.choice([5, 7, 9]))))
        return ImageEnhance.Color(painted).enhance(rng.uniform(0.4, 2.0))
    if kind < 0.6:
        return _pencil(view, rng)
    if kind < 0.75:
        return _outline(view.convert("RGBA"), rng)
    hue, saturation, value = ImageOps.posterize(view, int(rng.integers(2, 5))).convert("HSV").split()
    by = int(rng.integers(256))
    turned = hue.point(lambda angle: (angle + by) % 256)
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


def _pencil(view: Image.Image, rng: Rng) -> Image.Image:
    """Grey divided by its blurred self: dark strokes where it is darker than what is around."""
    grey = ImageOps.grayscale(view)
    around = grey.filter(ImageFilter.GaussianBlur(rng.uniform(2, 6)))
    strokes = np.asarray(grey, np.float32) / np.maximum(np.asarray(around, np.float32), 1)
    return Image.fromarray((255 * np.clip(strokes, 0, 1) ** 2).astype(np.uint8)).convert("RGB")


def _below(end: int, rng: Rng) -> int:
    return int(rng.integers(end))


def _placed(drawing: Image.Image, rng: Rng) -> Image.Image:
    """Random size, place, small rotation and mirror image on a transparent square."""
    if rng.random() < 0.5:
        drawing = ImageOps.mirror(drawing)
    if rng.random() < 0.4:
        drawing = drawing.rotate(rng.uniform(-20, 20), Image.Resampling.BICUBIC)
    side = round(SIZE * rng.uniform(0.6, 1.0))
    wide = round(side * rng.uniform(0.85, 1.0))
    drawing = drawing.resize((wide, side) if rng.random() < 0.5 else (side, wide), Image.Resampling.BICUBIC)
    canvas = Image.new("RGBA", (SIZE, SIZE))
    canvas.paste(drawing, (_below(SIZE - drawing.width + 1, rng), _below(SIZE - drawing.height + 1, rng)))
    return canvas


def _inked(drawing: Image.Image, rng: Rng) -> Image.Image:
    """A glyph drawn in black takes any dark colour."""
    ink = Image.new("RGB", drawing.size, tuple(rng.integers(0, 120, 3).tolist()))
    return Image.merge("RGBA", (*ink.split(), drawing.getchannel("A")))


def _on_ground(drawing: Image.Image, rng: Rng) -> Image.Image:
    ground = Image.new("RGB", drawing.size, "white")
    kind = rng.random()
    if kind > 0.55:
        ground = Image.new("RGB", drawing.size, tuple(rng.integers(60, 256, 3).tolist()))
    if kind > 0.8:
        other = Image.new("RGB", drawing.size, tuple(rng.integers(60, 256, 3).tolist()))
        ramp = Image.linear_gradient("L").rotate(90 * _below(4, rng)).resize(drawing.size)
        ground = Image.composite(ground, other, ramp)
    ground.paste(drawing, (0, 0), drawing)
    return ground


def _outline(drawing: Image.Image, rng: Rng) -> Image.Image:
    """The edges of colours and of the shape, as a pen would draw them: dark on white."""
    white = Image.new("RGB", drawing.size, "white")
    white.paste(drawing, (0, 0), drawing)
    planes = [*white.split(), drawing.getchannel("A")]
    edges = planes[0].filter(ImageFilter.FIND_EDGES)
    for plane in planes[1:]:
        edges = ImageChops.lighter(edges, plane.filter(ImageFilter.FIND_EDGES))
    edges = ImageOps.crop(edges, 1).point(lambda value: 255 if value > 40 else 4 * value)
    if rng.random() < 0.6:
        edges = edges.filter(ImageFilter.MaxFilter(3))
    softened = edges.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    return ImageOps.invert(softened).resize(drawing.size, Image.Resampling.BICUBIC).convert("RGB")
