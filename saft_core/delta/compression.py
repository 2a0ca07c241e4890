"""The compression of a delta: planes of bytes, each one Zstandard frame (RFC 8878).

A plane holds the bytes of one significance of all numbers: their low bytes, or their high bytes. What numbers have in
common is in the high bytes, and a frame of its own gives each plane a code of its own. LZMA makes files of real
selections 1% smaller and takes six to twelve times as long to read, which the first request to an adapter would wait
for (docs/delta-format.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from saft_core.errors import InvalidDelta

Plane = npt.NDArray[np.uint8]

LEVEL = 15
"""Of 1 to 22: above it a ViT-B/32's delta becomes 0.2% smaller in twice the time."""
MAX_WINDOW_BYTES = 8 << 20
"""The longest distance that a frame may refer back to; what RFC 8878 asks every reader to support."""


def byte_planes(numbers: npt.NDArray[np.integer[Any]]) -> list[Plane]:
    """The bytes of integers (K,) of n bytes each, as n planes uint8 (K,), the lowest first."""
    little = np.ascontiguousarray(numbers, dtype=numbers.dtype.newbyteorder("<"))
    return list(little.view(np.uint8).reshape(len(numbers), numbers.itemsize).T)


def compress(plane: Plane) -> bytes:
    """One frame, which states the size of its content. Nothing for an empty plane."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(plane.tobytes()) if len(plane) else b""


def decompress(frame: memoryview, size: int) -> Plane:
    """The inverse of `compress`: uint8 (size,). Memory is allocated for `size` bytes, whatever the frame states.

    Raises InvalidDelta for anything but exactly one frame of exactly `size` bytes.
    """
    if not size and not len(frame):
        return np.empty(0, dtype=np.uint8)
    try:
        stated = zstandard.get_frame_parameters(frame).content_size
        if not size or stated != size:
            raise InvalidDelta(f"a compressed part states {stated} bytes in place of {size}")
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        content = reader.decompress(frame, max_output_size=size, allow_extra_data=False)
    except (zstandard.ZstdError, ValueError) as error:
        raise InvalidDelta(f"a compressed part is damaged: {error}") from error
    if len(content) != size:
        raise InvalidDelta(f"a compressed part holds {len(content)} bytes in place of {size}")
    return np.frombuffer(content, dtype=np.uint8)
