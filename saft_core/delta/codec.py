"""The delta container, version 3. docs/delta-format.md specifies it byte by byte; the two must change together.

    magic "SAFTDLT3" | H | K | P | header (H bytes of JSON) | low bytes of K values | 2 + P compressed planes | SHA-256

The planes are the exponents of the values, their high bytes, and P planes of the indices' gaps; `compression.py` is
where they are compressed. `decode` checks every length before it allocates for it. The low bytes, which no compression
makes smaller, stand as they are: a file of n bytes has at most n entries, so that a small one cannot unpack to a huge
delta.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

import numpy as np

from saft_core.delta.compression import Plane, byte_planes, compress, decompress
from saft_core.delta.header import DeltaHeader, read_header, write_header
from saft_core.delta.indices import MAX_PLANES, read_indices, write_indices
from saft_core.delta.sparse import SparseDelta
from saft_core.delta.values import BlockFloats, Values, block_count, restore_values, round_values
from saft_core.errors import InvalidDelta, TooLarge

MAGIC = b"SAFTDLT3"
_PREFIX = struct.Struct("<8sIQB")
_LENGTH_BYTES = 8
_DIGEST_BYTES = 32


def encode(delta: SparseDelta, header: DeltaHeader) -> bytes:
    """Pack `delta` into a container. Values are rounded to 16 bits: decode what you evaluate.

    Raises InvalidDelta when an index is not below the header's parameter count, or when `decode` would refuse the
    header; DeltaHeader lists its rules.
    """
    text = write_header(header)
    _check_range(delta, header.parameter_count)
    exponents, mantissas = round_values(delta.values)
    low, high = byte_planes(mantissas)
    gaps = write_indices(delta.indices)
    frames = [compress(plane) for plane in (exponents, high, *gaps)]
    sections = [part for frame in frames for part in (len(frame).to_bytes(_LENGTH_BYTES, "little"), frame)]
    body = b"".join([_PREFIX.pack(MAGIC, len(text), len(delta), len(gaps)), text, low.tobytes(), *sections])
    return body + hashlib.sha256(body).digest()


def decode(data: bytes, *, max_bytes: int) -> tuple[SparseDelta, DeltaHeader]:
    """Unpack a container.

    Raises TooLarge above `max_bytes`, and InvalidDelta for anything but what docs/delta-format.md describes.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"the delta has {len(data)} bytes, the limit max_delta_bytes is {max_bytes}")
    header_bytes, count, planes, rest = _open(data)
    text, rest = _split(rest, header_bytes, "header")
    header = read_header(text)
    if count > header.parameter_count:
        raise InvalidDelta(f"the file announces {count} entries, its base has {header.parameter_count} parameters")
    low, rest = _split(rest, count, "low bytes of the values")
    exponents, high, *gaps = _frames(rest, 2 + planes)
    values = _read_values(exponents, np.frombuffer(low, dtype=np.uint8), high)
    delta = SparseDelta(read_indices((decompress(frame, count) for frame in gaps), count), values)
    _check_range(delta, header.parameter_count)
    return delta, header


class _Opened(NamedTuple):
    """A container whose checksum is right; nothing that it states is believed yet."""

    header_bytes: int
    entries: int
    planes: int
    rest: memoryview


def _open(data: bytes) -> _Opened:
    view = memoryview(data)
    if len(view) < _PREFIX.size + _DIGEST_BYTES:
        raise InvalidDelta("the file is too short to be a delta")
    magic, header_bytes, count, planes = _PREFIX.unpack_from(view)
    if magic == b"SAFTDLT2":
        raise InvalidDelta(
            "the file is a delta of version 2, this service reads version 3: download the adapter again from a service"
            " that has it, or rewrite the file where saft is installed: python -m migrations.delta_version_2 OLD NEW"
        )
    if magic != MAGIC:
        raise InvalidDelta("the file is not a delta: its first eight bytes are not SAFTDLT3")
    if hashlib.sha256(view[:-_DIGEST_BYTES]).digest() != view[-_DIGEST_BYTES:]:
        raise InvalidDelta("the checksum does not match: the file is damaged or cut short")
    if planes > MAX_PLANES:
        raise InvalidDelta(f"the file announces {planes} planes of gaps, at most {MAX_PLANES} are possible")
    return _Opened(header_bytes, count, planes, view[_PREFIX.size : -_DIGEST_BYTES])


def _split(data: memoryview, size: int, section: str) -> tuple[memoryview, memoryview]:
    """The first `size` bytes and the rest, without copying. Raises InvalidDelta naming `section` if there are fewer."""
    if size > len(data):
        raise InvalidDelta(f"the {section} should have {size} bytes, the file has {len(data)} left")
    return data[:size], data[size:]


def _frames(data: memoryview, count: int) -> list[memoryview]:
    """So many compressed planes, each of which stands behind its length, and nothing else."""
    frames = []
    for _ in range(count):
        length, data = _split(data, _LENGTH_BYTES, "length of a compressed part")
        frame, data = _split(data, int.from_bytes(length, "little"), "compressed part")
        frames.append(frame)
    if len(data):
        raise InvalidDelta(f"{len(data)} bytes too many")
    return frames


def _read_values(exponents: memoryview, low: Plane, high: memoryview) -> Values:
    """The values of all entries, float32 (K,), from the frames of two planes and the low bytes uint8 (K,)."""
    mantissas = np.empty((len(low), 2), dtype=np.uint8)
    mantissas[:, 0], mantissas[:, 1] = low, decompress(high, len(low))
    return restore_values(
        BlockFloats(decompress(exponents, block_count(len(low))), mantissas.view("<i2").reshape(len(low)))
    )


def _check_range(delta: SparseDelta, parameter_count: int) -> None:
    if len(delta) and delta.indices[-1] >= parameter_count:
        raise InvalidDelta(f"index {delta.indices[-1]} lies outside the base's {parameter_count} parameters")
