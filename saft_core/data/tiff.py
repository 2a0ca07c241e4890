"""TIFF directories, which EXIF uses too: the orientation, and a TIFF file cut down to its first picture.

Only the classic layout (32-bit offsets). A directory is a count and 12-byte fields: tag, type, number of values, and
the values themselves where they fit into four bytes, else where in the file they lie.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from saft_core.errors import InvalidImage

MAX_FIELD_VALUES = 250_000  # strips or tiles of one picture: 16 x 16 tiles of 50 megapixels need 195,313

_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SHORT, _LONG = 3, 4
_ORIENTATION, _TILE_WIDTH, _TILE_LENGTH, _PROFILE = 274, 322, 323, 34675
# What the pixels need: sizes, sample layout, photometry, strips, tiles, palette, predictor, fax and JPEG tables.
_PICTURE_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 338, 339}
    | {347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532}
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a directory, its 12 bytes as they stand in the file."""

    tag: int
    kind: int
    count: int
    raw: bytes
    byte_order: str

    @property
    def size(self) -> int:
        """Bytes of all its values; 0 for a type that nobody knows."""
        return self.count * _VALUE_BYTES.get(self.kind, 0)

    @property
    def number(self) -> int | None:
        """The value of a field that holds one whole number, else None."""
        if self.count != 1 or self.kind not in (_SHORT, _LONG):
            return None
        (value,) = struct.unpack_from(self.byte_order + ("H" if self.kind == _SHORT else "L"), self.raw, 8)
        return int(value)


def first_directory(data: bytes) -> list[Field]:
    """The fields of the first directory. Raises struct.error or KeyError where `data` is not TIFF or is cut off."""
    order = _byte_order(data)
    (position,) = struct.unpack_from(order + "L", data, 4)
    (count,) = struct.unpack_from(order + "H", data, position)
    fields = []
    for start in range(position + 2, position + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHL", data, start)
        fields.append(Field(tag, kind, values, data[start : start + 12], order))
    return fields


def _byte_order(data: bytes) -> str:
    """The byte order as `struct` writes it. Raises KeyError where `data` is not TIFF."""
    return {b"II*\0": "<", b"MM\0*": ">"}[data[:4]]


def orientation(exif: bytes) -> int:
    """How the picture has to be turned, 1 to 8 as EXIF has it; 1 (not at all) where the block does not say."""
    try:
        fields = first_directory(exif.removeprefix(b"Exif\0\0"))
    except (struct.error, KeyError):
        return 1
    turn = next((field.number for field in fields if field.tag == _ORIENTATION), None)
    return turn if turn is not None and 1 <= turn <= 8 else 1


def colour_profile(data: bytes, max_bytes: int) -> bytes:
    """The ICC profile of a TIFF file's first picture; nothing where there is none, or one of more than `max_bytes`.

    Raises struct.error or KeyError where the file is cut off.
    """
    field = next((field for field in first_directory(data) if field.tag == _PROFILE), None)
    if field is None or not 4 < field.size <= max_bytes:
        return b""
    (start,) = struct.unpack_from(field.byte_order + "L", field.raw, 8)
    return data[start : start + field.size]


def cut_tiff(data: bytes, max_pixels: int) -> bytes:
    """The same file, its first directory replaced by one that holds only what the picture needs, and the last.

    Values may not add up to more than the file has, and a tile may not be larger than `max_pixels`: a decoder would
    allocate either. Raises InvalidImage for both, struct.error or KeyError where the file is cut off.
    """
    fields = {field.tag: field for field in reversed(first_directory(data)) if field.tag in _PICTURE_TAGS}
    kept = [fields[tag] for tag in sorted(fields) if fields[tag].size]
    if sum(field.size for field in kept) > len(data) or any(field.count > MAX_FIELD_VALUES for field in kept):
        raise InvalidImage(
            "The TIFF file's directory claims more than the file holds. Export it again with an image editor.",
            code="damaged_image",
        )
    _check_tile(fields, max_pixels)
    order = _byte_order(data)
    (start,) = struct.unpack_from(order + "L", data, 4)
    directory = struct.pack(order + "H", len(kept)) + b"".join(field.raw for field in kept) + bytes(4)
    if start + len(directory) > len(data):
        raise struct.error("the directory is cut off")
    return data[:start] + directory + data[start + len(directory) :]


def _check_tile(fields: dict[int, Field], max_pixels: int) -> None:
    """Raise InvalidImage if one tile alone has more pixels than an image may have."""
    sides = [field.number for tag in (_TILE_WIDTH, _TILE_LENGTH) if (field := fields.get(tag))]
    if len(sides) == 2 and (sides[0] or 0) * (sides[1] or 0) > max_pixels:
        raise InvalidImage(
            f"A tile of the TIFF file has more than {max_pixels:,} pixels. Save it with smaller tiles.",
            code="too_many_pixels",
        )
