"""Pictures in and out of requests."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from fastapi import Response
from PIL import Image

from saft_core.data.images import decode_image
from saft_core.data.limits import DataLimits
from saft_core.errors import InvalidImage

Key = TypeVar("Key")
IMAGES_PER_BATCH = 64
PIXELS_PER_BATCH = 50_000_000

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cache-Control": "private, max-age=31536000, immutable",
}
"""A tenant's file is never anything but a picture to a browser."""


def picture(data: bytes, media_type: str) -> Response:
    """A stored image file as an answer."""
    return Response(data, media_type=media_type, headers=SAFE_HEADERS)


def from_base64(text: str) -> bytes:
    """The bytes of a base64 text, with or without a `data:` prefix. Raises InvalidImage."""
    _, comma, payload = text.partition(",")
    try:
        return base64.b64decode(payload if comma and text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidImage("This is not base64.", code="not_base64") from error


def in_batches(pictures: Iterable[tuple[Key, Image.Image]]) -> Iterator[list[tuple[Key, Image.Image]]]:
    """The pictures in order, few enough at a time to hold them decoded in memory."""
    batch: list[tuple[Key, Image.Image]] = []
    pixels = 0
    for key, image in pictures:
        batch.append((key, image))
        pixels += image.width * image.height
        if len(batch) >= IMAGES_PER_BATCH or pixels >= PIXELS_PER_BATCH:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def decode(read: Callable[[], bytes], where: str, limits: DataLimits) -> Image.Image:
    """The RGB image in the bytes that `read` gives. Raises InvalidImage naming `where`: a file's name or a field."""
    try:
        return decode_image(read(), limits)
    except InvalidImage as error:
        raise InvalidImage(f"{where}: {error.message}", code=error.error_code, where=where) from error
