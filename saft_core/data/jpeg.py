"""JPEG files, cut down to the tables, scans and colour markers of their first picture before libjpeg sees them.

Neither Pillow nor libjpeg limits what the rest costs: a JPEG of many thousand empty scans takes hours, one of 10 MB
whose EXIF directory points at the same bytes over and over takes gigabytes (Pillow reads all of it to find the
resolution), and 32 MB of empty comments take 4 seconds and 540 MB. The work here is bounded by the file's size.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from saft_core.data.colours import MAX_PROFILE_BYTES
from saft_core.data.picture import Picture
from saft_core.errors import InvalidImage

MAX_SEGMENTS = 100_000
"""Honest files have some hundreds at most."""
MAX_SCANS = 100
"""A progressive file has about ten."""

_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # not stuffed bytes, fill bytes or restart markers
_BARE = frozenset({0x01, 0xD8})  # markers without a segment
_END, _SCAN, _EXIF, _PROFILE, _COMMENT = 0xD9, 0xDA, 0xE1, 0xE2, 0xFE
_COLOUR = frozenset({0xE0, 0xEE})  # JFIF and Adobe: they say how to read the colours


def cut_jpeg(data: bytes) -> Picture:
    """The first picture without comments, metadata and what comes after it; its EXIF block and ICC profile apart.

    Raises InvalidImage for too many scans or segments, struct.error where the file ends inside a segment.
    """
    kept, exif, scans = [b"\xff\xd8"], b"", 0
    profile: dict[int, bytes] = {}
    for marker, segment in _segments(data):
        scans += marker == _SCAN
        if scans > MAX_SCANS:
            raise _too_costly(f"more than {MAX_SCANS} scans")
        if marker == _EXIF and not exif and segment[4:10] == b"Exif\0\0":
            exif = segment[10:]
        if marker == _PROFILE and segment[4:16] == b"ICC_PROFILE\0" and len(segment) > 18:
            profile.setdefault(segment[16], segment[17:])
        if marker in _COLOUR or not (0xE0 <= marker <= 0xEF or marker == _COMMENT):
            kept.append(segment)
    return Picture(b"".join(kept), exif=exif, profile=_joined(profile), buffered=scans > 1)


def _joined(parts: dict[int, bytes]) -> bytes:
    """The profile whose parts carry numbers from 1 on and begin with how many they are; nothing if one is missing."""
    count = parts[1][0] if 1 in parts else 0
    if sorted(parts) != list(range(1, count + 1)) or sum(map(len, parts.values())) > MAX_PROFILE_BYTES:
        return b""
    return b"".join(parts[number][1:] for number in range(1, count + 1))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, bytes) of each segment up to the end of the picture; a scan comes with the coded data after it."""
    position = 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return
        marker, start = found[1][0], found.end() - 2
        position = found.end()
        if marker == _END:
            yield marker, b"\xff\xd9"
            return
        if marker in _BARE:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise struct.error("a segment shorter than its own length field")
        position += length
        if marker == _SCAN:
            following = _MARKER.search(data, position)
            position = following.start() if following else len(data)
        yield marker, data[start:position]
    raise _too_costly(f"more than {MAX_SEGMENTS} segments")


def _too_costly(what: str) -> InvalidImage:
    return InvalidImage(f"The image file has {what}. Export it again with an image editor.", code="damaged_image")
