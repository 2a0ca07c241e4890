"""The container as docs/delta-format.md tells it, read number by number: what the fast reader must agree with."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

import zstandard


def unpacked(data: bytes) -> tuple[bytes, int, bytes, list[bytes]]:
    """Header, count of entries, low bytes of the values, and the content of each frame, of a sound container."""
    assert data[:8] == b"SAFTDLT3"
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    header_bytes, count, planes = struct.unpack("<IQB", data[8:21])
    at = 21 + header_bytes
    low = data[at : at + count]
    at += count
    contents = []
    for _ in range(2 + planes):
        (length,) = struct.unpack("<Q", data[at : at + 8])
        frame = data[at + 8 : at + 8 + length]
        contents.append(zstandard.ZstdDecompressor().decompress(frame) if frame else b"")
        at += 8 + length
    assert at == len(data) - 32
    return data[21 : 21 + header_bytes], count, low, contents


def read(data: bytes) -> tuple[list[int], list[float], dict[str, Any]]:
    """Indices, values and header fields of a sound container."""
    header, count, low, (exponents, high, *planes) = unpacked(data)
    indices, index = [], -1
    for n in range(count):
        index += 1 + sum(plane[n] << 8 * place for place, plane in enumerate(planes))
        indices.append(index)
    values = []
    for n in range(count):
        mantissa = int.from_bytes(bytes([low[n], high[n]]), "little", signed=True)
        values.append(mantissa * 2.0 ** (exponents[n // 128] - 142))
    return indices, values, json.loads(header.decode("utf-8"))
