"""PNG files, without what would cost Pillow more than the picture is worth.

Pillow refuses a picture whose ICC profile unpacks to more than a megabyte, takes one that ends before its last chunk,
and spends 5 seconds and 290 MB on 32 MB of empty chunks. What texts unpack to, it limits by itself.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from saft_core.data.colours import MAX_PROFILE_BYTES
from saft_core.data.picture import Picture
from saft_core.errors import InvalidImage

MAX_CHUNKS = 100_000
"""Honest files have some thousands at most."""


def cut_png(data: bytes) -> Picture:
    """The file with its ICC profile (chunk iCCP) taken out.

    Raises InvalidImage for more than MAX_CHUNKS chunks, EOFError for a file without its last one, struct.error for one
    that ends within a chunk's header.
    """
    kind, profile = b"", b""
    kept = data
    for position, kind, body in _chunks(data):
        if kind == b"iCCP" and kept is data:
            profile = _inflated(body.partition(b"\0")[2][1:])
            kept = data[:position] + data[position + 12 + len(body) :]
    if kind != b"IEND":
        raise EOFError("the file ends before its last chunk")
    return Picture(kept, profile=profile)


def _inflated(packed: bytes) -> bytes:
    """A profile packed with zlib, cut off where it gets too large to count; nothing if it is damaged."""
    try:
        return zlib.decompressobj().decompress(packed, MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return b""


def _chunks(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(position, kind, body) of each chunk after the signature; a checksum of four bytes follows each body."""
    position = 8
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + size]
        yield position, kind, body
        if kind == b"IEND":
            return
        position += 12 + size
    raise InvalidImage(
        f"The image file has more than {MAX_CHUNKS} chunks. Export it again with an image editor.",
        code="damaged_image",
    )
