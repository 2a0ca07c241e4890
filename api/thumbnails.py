"""Thumbnails: small WebP images for the page. None is stored; browsers cache them."""

from __future__ import annotations

from io import BytesIO
from typing import Annotated

from fastapi import Query

from api.images import ImageReader, ImageSource

MEDIA_TYPE = "image/webp"
WEBP_QUALITY = 80

Size = Annotated[int, Query(ge=32, le=512, description="Pixels that it is wide and high at most.")]
SIZE = 192


def thumbnail(reader: ImageReader, source: ImageSource, size: int, deadline: float) -> bytes:
    """A WebP of the picture, at most `size` pixels wide and high, never enlarged.

    Raises InvalidImage naming the source, NotFound for a stored one that is gone, Busy.
    """
    # Of a JPEG four times this side is left, which embeddings need; the eye needs twice the thumbnail's.
    with reader.decoded(source, -(-size // 2), deadline) as image:
        image.thumbnail((size, size))
    file = BytesIO()
    image.save(file, "WEBP", quality=WEBP_QUALITY)
    return file.getvalue()
