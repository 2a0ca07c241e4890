"""How a picture is put into the samples: cut-outs and drawings on white, nothing cropped, nothing enlarged."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

LONG_SIDE = 320
DRAWN_SIZE = 192
MARGIN = 8
QUALITY = 82


def photograph(picture: Image.Image) -> Image.Image:
    """A photograph at most `LONG_SIDE` wide and high; a cut-out on white, with a little air around it."""
    picture = picture.convert("RGBA")
    alpha = picture.getchannel("A")
    if alpha.getextrema() == (255, 255):  # no transparency: all of it, to the edge
        whole = picture.convert("RGB")
        whole.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
        return whole
    cut = picture.crop(alpha.getbbox())
    air = max(2, max(cut.size) // 20)
    canvas = Image.new("RGBA", (cut.width + 2 * air, cut.height + 2 * air), "white")
    canvas.alpha_composite(cut, (air, air))
    canvas.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return canvas.convert("RGB")


def drawing(picture: Image.Image) -> Image.Image:
    """A drawing in the middle of a white square."""
    picture = picture.convert("RGBA")
    room = DRAWN_SIZE - 2 * MARGIN
    picture.thumbnail((room, room), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (DRAWN_SIZE, DRAWN_SIZE), "white")
    canvas.alpha_composite(picture, ((DRAWN_SIZE - picture.width) // 2, (DRAWN_SIZE - picture.height) // 2))
    return canvas.convert("RGB")


def save(picture: Image.Image, path: Path) -> None:
    """Writes a photograph as WebP and a drawing as PNG, by the ending of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".webp":
        picture.save(path, "WEBP", quality=QUALITY, method=6)
    else:
        picture.save(path, "PNG", optimize=True)
