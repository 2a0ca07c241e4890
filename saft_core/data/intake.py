"""One uploaded image file: read and checked, for datasets and collections alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from saft_core.data.entries import Entry

Save = Callable[[str, bytes, str], None]
"""Takes the hexadecimal SHA-256, the bytes and the media type."""
CheckImage = Callable[[bytes], str]
"""The media type of an image file that decodes; raises InvalidImage if it does not."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An image file that can be used; `sha256` in hexadecimal."""

    sha256: str
    data: bytes
    media_type: str


def take(entry: Entry, check_image: CheckImage, check_hash: Callable[[str], None] | None = None) -> Taken:
    """Read and check an image file. Raises InvalidInput, also what `check_hash` raises before it is decoded."""
    data = entry.read()
    sha256 = hashlib.sha256(data).hexdigest()
    if check_hash is not None:
        check_hash(sha256)
    return Taken(sha256, data, check_image(data))
