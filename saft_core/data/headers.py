"""What the headers of image files claim: the size in pixels, and how the picture has to be turned.

Pillow would tell as well, but reads far more to do so: all values of a TIFF or EXIF directory, which may be gigabytes
where its fields claim the same bytes over and over, all comments of a GIF, the whole picture of a WebP. Each function
here reads a few numbers. The claim decides how much memory is set aside, and a decoder gets no more than that.
"""

from __future__ import annotations

import re
import struct
from itertools import islice

MAX_HEIF_SIZES = 20_000
_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_MAX_FTYP_BYTES = 256
_HEIF_SIZE = re.compile(rb"ispe\0{4}(.{8})", re.DOTALL)  # box of type "ispe", version 0, no flags: width and height
_SHORT, _LONG = 3, 4
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274


def heif_type(head: bytes) -> str | None:
    """`image/avif` or `image/heic` by the brands that a file begins with, None for any other file."""
    if head[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(head[:4], "big"), _MAX_FTYP_BYTES, len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    for brand in brands:  # the major one first
        if brand in _AVIF:
            return "image/avif"
        if brand in _HEIC:
            return "image/heic"
    return None


def heif_size(data: bytes) -> tuple[int, int]:
    """(width, height) of the largest picture, or tile of one, that a HEIC or AVIF file claims. Raises ValueError."""
    found = islice(_HEIF_SIZE.finditer(data), MAX_HEIF_SIZES)
    width, height = max((struct.unpack(">LL", one[1]) for one in found), key=lambda size: size[0] * size[1])
    return width, height


def webp_size(data: bytes) -> tuple[int, int]:
    """(width, height) of the canvas: by the extended header, lossless or lossy coded data, whichever comes first.

    Raises struct.error where the file is cut off, KeyError where it begins with none of these.
    """
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        wide, high = struct.unpack_from("<HH", data, 26)
        return wide & 0x3FFF, high & 0x3FFF
    raise KeyError(kind)


def gif_size(data: bytes) -> tuple[int, int]:
    """(width, height) of the screen; a frame may be larger. Raises struct.error where the file is cut off."""
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def bmp_size(data: bytes) -> tuple[int, int]:
    """(width, height); the height is below zero where rows go down. Raises struct.error where the file is cut off."""
    is_old = data[14:18] == struct.pack("<L", 12)
    width, height = struct.unpack_from("<HH" if is_old else "<Ll", data, 18)
    return width, abs(height)


def tiff_size(data: bytes) -> tuple[int, int]:
    """(width, height) by the first directory. Raises struct.error or KeyError where they are missing."""
    numbers = _directory(data)
    return numbers[_WIDTH], numbers[_HEIGHT]


def orientation(exif: bytes) -> int:
    """How the picture has to be turned, 1 to 8 as EXIF has it; 1 (not at all) where the EXIF block does not say."""
    try:
        turn = _directory(exif.removeprefix(b"Exif\0\0")).get(_ORIENTATION, 1)
    except (struct.error, KeyError):
        return 1
    return turn if 1 <= turn <= 8 else 1


def _directory(data: bytes) -> dict[int, int]:
    """The first directory of a TIFF file, which an EXIF block is too: by tag, the fields that hold one whole number.

    A directory is a count and fields of 12 bytes: tag, type, number of values, and the value itself where it fits into
    four bytes. Raises struct.error or KeyError where `data` is not TIFF (with 32-bit offsets) or is cut off.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}[data[:4]]
    (start,) = struct.unpack_from(order + "L", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    found: dict[int, int] = {}
    for position in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHL", data, position)
        if values == 1 and kind in (_SHORT, _LONG):
            (number,) = struct.unpack_from(order + ("H" if kind == _SHORT else "L"), data, position + 8)
            found.setdefault(tag, number)
    return found
