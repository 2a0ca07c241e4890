"""Cut an image file down to what its first picture needs, before a decoder sees it.

Decoders read far more than pixels, and some of that costs without bound: a 10 MB JPEG whose EXIF directory points at
the same bytes over and over takes gigabytes, 30 MB of GIF comments take half a minute, a JPEG of many thousand empty
scans takes hours. So each function here walks the container with work bounded by the file's size and returns a
`Picture`: the bytes worth decoding, the EXIF block, and the canvas where a decoder would allocate it unasked.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from saft_core.errors import InvalidImage

MAX_BLOCKS = 100_000  # segments, chunks or extensions of one file; honest ones stay below some thousands
MAX_JPEG_SCANS = 100  # a progressive file has about ten
MAX_PROFILE_BYTES = 4 << 20  # those of printing presses have up to 3 MB; a larger one is left out

_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # not stuffed bytes, fill bytes or restart markers
_JPEG_BARE = frozenset({0x01, 0xD8})  # markers without a segment
_JPEG_END, _JPEG_SCAN, _JPEG_EXIF, _JPEG_PROFILE, _JPEG_COMMENT = 0xD9, 0xDA, 0xE1, 0xE2, 0xFE
_JPEG_COLOUR = frozenset({0xE0, 0xEE})  # JFIF and Adobe: they say how to read the colours

_GIF_EXTENSION, _GIF_IMAGE, _GIF_CONTROL = 0x21, 0x2C, 0xF9


@dataclass(frozen=True, slots=True)
class Picture:
    """The first picture of a file.

    `profile` is its ICC profile, unchecked. `canvas` is (width, height) in pixels where it had to be read early, else
    None. `buffered` is whether the decoder keeps the whole picture in its coded form too: a JPEG of several scans.
    """

    data: bytes
    exif: bytes = b""
    canvas: tuple[int, int] | None = None
    profile: bytes = b""
    buffered: bool = False


def cut_jpeg(data: bytes) -> Picture:
    """Keep the tables, scans and colour markers of the first picture; drop comments, metadata and what comes after.

    Raises InvalidImage for too many scans or segments, struct.error where the file ends inside a segment.
    """
    kept, exif, scans = [b"\xff\xd8"], b"", 0
    profile: dict[int, bytes] = {}
    for marker, segment in _jpeg_segments(data):
        scans += marker == _JPEG_SCAN
        if scans > MAX_JPEG_SCANS:
            raise _too_costly(f"more than {MAX_JPEG_SCANS} scans")
        if marker == _JPEG_EXIF and not exif and segment[4:10] == b"Exif\0\0":
            exif = segment[10:]
        if marker == _JPEG_PROFILE and segment[4:16] == b"ICC_PROFILE\0" and len(segment) > 18:
            profile.setdefault(segment[16], segment[17:])
        if marker in _JPEG_COLOUR or not (0xE0 <= marker <= 0xEF or marker == _JPEG_COMMENT):
            kept.append(segment)
    return Picture(b"".join(kept), exif, profile=_joined(profile), buffered=scans > 1)


def _joined(parts: dict[int, bytes]) -> bytes:
    """The profile whose parts carry numbers from 1 on and begin with how many they are; nothing if one is missing."""
    count = parts[1][0] if 1 in parts else 0
    if sorted(parts) != list(range(1, count + 1)) or sum(map(len, parts.values())) > MAX_PROFILE_BYTES:
        return b""
    return b"".join(parts[number][1:] for number in range(1, count + 1))


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, bytes) of each segment up to the end of the picture; a scan comes with the coded data after it."""
    position = 2
    for _ in range(MAX_BLOCKS):
        found = _JPEG_MARKER.search(data, position)
        if found is None:
            return
        marker, start = found[1][0], found.end() - 2
        position = found.end()
        if marker == _JPEG_END:
            yield marker, b"\xff\xd9"
            return
        if marker in _JPEG_BARE:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise struct.error("a segment shorter than its own length field")
        position += length
        if marker == _JPEG_SCAN:
            following = _JPEG_MARKER.search(data, position)
            position = following.start() if following else len(data)
        yield marker, data[start:position]
    raise _too_costly(f"more than {MAX_BLOCKS} segments")


def cut_gif(data: bytes) -> Picture:
    """Keep the screen, its palette, the first frame's control block and what follows; drop the other extensions.

    Raises InvalidImage for too many extensions, IndexError or struct.error where the file ends before the first frame.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    screen, control = data[:position], b""
    for _ in range(MAX_BLOCKS):
        if data[position] == _GIF_IMAGE:
            left, top, wide, high = struct.unpack_from("<4H", data, position + 1)
            canvas = max(width, left + wide), max(height, top + high)
            return Picture(screen + control + data[position:], canvas=canvas)
        if data[position] == _GIF_EXTENSION:
            end = _gif_blocks_end(data, position + 2)
            if data[position + 1] == _GIF_CONTROL:
                control = data[position:end]
            position = end
        else:
            position += 1
    raise _too_costly(f"more than {MAX_BLOCKS} extensions")


def _gif_blocks_end(data: bytes, position: int) -> int:
    """The position after a chain of sub-blocks that starts at `position`."""
    while data[position]:
        position += data[position] + 1
    return position + 1


def cut_png(data: bytes) -> Picture:
    """Count the chunks, find the EXIF block, take the colour profile out; leave the rest as it is.

    Raises InvalidImage for too many chunks, EOFError for a file without its last one: the decoder would not mind.
    """
    exif, kind, profile = b"", b"", b""
    kept = data
    for position, kind, body in _chunks(data, 8, ">I4s", tail=4):
        if kind == b"eXIf":
            exif = body
        if kind == b"iCCP" and kept is data:  # the decoder would refuse the picture for a profile it does not like
            profile = _inflated(body.partition(b"\0")[2][1:])
            kept = data[:position] + data[position + 12 + len(body) :]
    if kind != b"IEND":
        raise EOFError("the file ends before its last chunk")
    return Picture(kept, exif, profile=profile)


def _inflated(packed: bytes) -> bytes:
    """A profile packed with zlib; nothing if it is damaged or too large."""
    try:
        profile = zlib.decompressobj().decompress(packed, MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return b""
    return profile if len(profile) <= MAX_PROFILE_BYTES else b""


def cut_webp(data: bytes) -> Picture:
    """Leave the file as it is, count its chunks, find its EXIF block, its colour profile and the canvas.

    Raises InvalidImage for too many chunks, struct.error where a header is cut off.
    """
    exif, canvas, profile = b"", None, b""
    for _, kind, body in _chunks(data, 12, "<4sI", tail=0):
        if canvas is None:
            canvas = _webp_canvas(kind, body)
        if kind == b"EXIF":
            exif = body
        if kind == b"ICCP" and len(body) <= MAX_PROFILE_BYTES:
            profile = body
    return Picture(data, exif, canvas, profile)


def _webp_canvas(kind: bytes, body: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels if this chunk gives them: the extended header, lossless or lossy coded data."""
    if kind == b"VP8X":
        wide, high = (int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
        return wide + 1, high + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        wide, high = struct.unpack_from("<HH", body, 6)
        return wide & 0x3FFF, high & 0x3FFF
    return None


def _chunks(data: bytes, position: int, header: str, tail: int) -> Iterator[tuple[int, bytes, bytes]]:
    """(position, kind, body) of each chunk from `position` on; `tail` bytes (a checksum) follow each body."""
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            return
        first, second = struct.unpack_from(header, data, position)
        kind, size = (first, second) if isinstance(first, bytes) else (second, first)
        body = data[position + 8 : position + 8 + size]
        yield position, kind, body
        if kind == b"IEND":
            return
        # RIFF pads chunks to even sizes; PNG, which has the checksum, does not.
        position += 8 + size + (tail or size % 2)
    raise _too_costly(f"more than {MAX_BLOCKS} chunks")


def _too_costly(what: str) -> InvalidImage:
    return InvalidImage(f"The image file has {what}. Export it again with an image editor.", code="damaged_image")
