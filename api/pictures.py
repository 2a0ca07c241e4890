"""Pictures in and out of requests."""

from __future__ import annotations

import base64
import binascii

from fastapi import Response
from PIL import Image

from saft_core.data.images import decode_image
from saft_core.data.limits import DataLimits
from saft_core.errors import InvalidImage

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cache-Control": "private, max-age=31536000, immutable",
}
"""A tenant's file is never anything but a picture to a browser."""


def picture(data: bytes, media_type: str) -> Response:
    """A stored image file as an answer."""
    return Response(data, media_type=media_type, headers=SAFE_HEADERS)


def from_base64(text: str, where: str) -> bytes:
    """The bytes of a base64 text, with or without a `data:` prefix. Raises InvalidImage naming `where`."""
    _, comma, payload = text.partition(",")
    try:
        return base64.b64decode(payload if comma and text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidImage(f"{where}: not base64", code="not_base64", where=where) from error


def decode(data: bytes, where: str, limits: DataLimits) -> Image.Image:
    """An RGB image. Raises InvalidImage naming `where`: a file's name or a field."""
    try:
        return decode_image(data, limits)
    except InvalidImage as error:
        raise InvalidImage(f"{where}: {error.message}", code=error.error_code, where=where) from error
