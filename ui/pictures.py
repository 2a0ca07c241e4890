"""Pictures as small thumbnails inside the page: no copy of anybody's image is left in a folder of the web server."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from io import BytesIO

from PIL import Image, UnidentifiedImageError

THUMBNAIL_PIXELS = 192
WEBP_QUALITY = 80
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Not AVIF: a file of it may hold a far larger picture than it says, and this process is not the place to find out."""
# One image at a time in the whole process: a large one takes a few hundred megabytes while it is decoded. And one
# thread: malloc keeps what each thread has freed.
_DECODER = ThreadPoolExecutor(1, "thumbnails")


@dataclass(frozen=True)
class Picture:
    """An image file with its caption. `alt` says what it is to those who cannot see it."""

    content: bytes
    alt: str
    caption: str = ""


def thumbnail(content: bytes) -> str:
    """The image as a data URI, at most THUMBNAIL_PIXELS wide and high; an empty string where it cannot be read."""
    return _DECODER.submit(_thumbnail, content).result()


def _thumbnail(content: bytes) -> str:
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            small = _small(image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return ""
    stream = BytesIO()
    small.save(stream, "WEBP", quality=WEBP_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _small(image: Image.Image) -> Image.Image:
    """The image reduced before its colours are converted, so that there is one full-size copy; none of a JPEG."""
    coloured = "RGBA" if image.mode in ("RGBA", "LA", "P", "PA") else "RGB"
    if image.mode in ("L", "RGB", "RGBA", "CMYK", "YCbCr"):
        return _reduced(image).convert(coloured)
    return _reduced(image.convert(coloured))  # indices of colours have no mean


def _reduced(image: Image.Image) -> Image.Image:
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    return image


def strip(pictures: Sequence[Picture], title: str = "") -> str:
    """The pictures in a row that wraps, in order."""
    heading = f"<h4>{escape(title)}</h4>" if title else ""
    items = "".join(_figure(picture) for picture in pictures)
    return f'<section class="saft-strip">{heading}<ol class="saft-pictures">{items}</ol></section>'


def _figure(picture: Picture) -> str:
    source = thumbnail(picture.content)
    shown = (
        f'<img src="{source}" alt="{escape(picture.alt)}" title="{escape(picture.alt)}">'
        if source
        else f'<span class="saft-unseen">{escape(picture.alt)}</span>'
    )
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>" if picture.caption else ""
    return f"<li><figure>{shown}{caption}</figure></li>"
