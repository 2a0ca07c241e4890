"""The delta container, version 2. docs/delta-format.md specifies it byte by byte; the two must change together.

    magic "SAFTDLT2" | H | K | U | header (H bytes of JSON) | indices of K entries | values | SHA-256

A container is canonical: one delta under one header has exactly one, and `decode` takes no other. Every length is
checked against the data before anything is allocated for it.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from saft_core.delta.header import DeltaHeader, read_header, write_header
from saft_core.delta.reader import SectionReader
from saft_core.delta.rice import read_indices, write_indices
from saft_core.delta.sparse import SparseDelta
from saft_core.delta.values import read_values, write_values
from saft_core.errors import InvalidDelta, TooLarge

MAGIC = b"SAFTDLT2"
_PREFIX = struct.Struct("<8sIQQ")
_DIGEST_BYTES = 32
_LEAST_ENTRY_BYTES = 2


def encode(delta: SparseDelta, header: DeltaHeader) -> bytes:
    """Pack `delta` into a container. Values are rounded to 16 bits: decode what you evaluate.

    Raises InvalidDelta when an index is not below the header's parameter count, or when `decode` would refuse the
    header; DeltaHeader lists its rules.
    """
    text = write_header(header)
    _check_range(delta, header.parameter_count)
    indices, unary_bytes = write_indices(delta.indices, header.parameter_count)
    prefix = _PREFIX.pack(MAGIC, len(text), len(delta), unary_bytes)
    body = b"".join([prefix, text, indices, write_values(delta.values)])
    return body + hashlib.sha256(body).digest()


def decode(data: bytes, *, max_bytes: int) -> tuple[SparseDelta, DeltaHeader]:
    """Unpack a container.

    Raises TooLarge above `max_bytes`, and InvalidDelta for anything that `encode` would not have written.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"the delta has {len(data)} bytes, the limit max_delta_bytes is {max_bytes}")
    parts = _open(data)
    header = read_header(parts.header)
    reader = SectionReader(parts.entries)
    indices = read_indices(reader, parts.count, parts.unary_bytes, header.parameter_count)
    values = read_values(reader, parts.count)
    reader.finish()
    delta = SparseDelta(indices, values)
    _check_range(delta, header.parameter_count)
    return delta, header


@dataclass(frozen=True)
class _Parts:
    """A container whose checksum is right; nothing in it is believed yet but the sizes of its parts."""

    header: memoryview
    entries: memoryview
    count: int
    unary_bytes: int


def _open(data: bytes) -> _Parts:
    view = memoryview(data)
    if len(view) < _PREFIX.size + _DIGEST_BYTES:
        raise InvalidDelta("the file is too short to be a delta")
    magic, header_bytes, count, unary_bytes = _PREFIX.unpack_from(view)
    if magic != MAGIC:
        raise InvalidDelta("the file is not a delta of this version: its first eight bytes are not SAFTDLT2")
    body, digest = view[:-_DIGEST_BYTES], view[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise InvalidDelta("the checksum does not match: the file is damaged or cut short")
    reader = SectionReader(body[_PREFIX.size :])
    header, entries = reader.take(header_bytes, "header"), reader.rest()
    if count * _LEAST_ENTRY_BYTES > len(entries):
        raise InvalidDelta(f"the file announces {count} entries, its {len(entries)} bytes for them cannot hold so many")
    return _Parts(header, entries, count, unary_bytes)


def _check_range(delta: SparseDelta, parameter_count: int) -> None:
    if len(delta) and delta.indices[-1] >= parameter_count:
        raise InvalidDelta(f"index {delta.indices[-1]} lies outside the base's {parameter_count} parameters")
