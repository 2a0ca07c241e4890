"""The container as docs/delta-format.md tells it, read plainly, bit by bit: what the fast reader must agree with."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any


def read(data: bytes) -> tuple[list[int], list[float], dict[str, Any]]:
    """Indices, values and header fields of a sound container."""
    assert data[:8] == b"SAFTDLT2"
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    header_bytes, count, unary_bytes = struct.unpack("<IQQ", data[8:28])
    header = json.loads(data[28 : 28 + header_bytes].decode("utf-8"))
    blocks = (count + 127) // 128
    at = 28 + header_bytes
    parameters = data[at : at + blocks]
    unary = bits(data[at + blocks : at + blocks + unary_bytes])
    at += blocks + unary_bytes
    remainder_bits = sum(parameters[n // 128] for n in range(count))
    remainders = bits(data[at : at + (remainder_bits + 7) // 8])
    at += (remainder_bits + 7) // 8
    escape_bytes = (header["parameter_count"].bit_length() + 7) // 8
    indices, index = [], -1
    for n in range(count):
        k = parameters[n // 128]
        quotient = 0
        while next(unary) == 0:
            quotient += 1
        if quotient == 20:
            quotient += int.from_bytes(data[at : at + escape_bytes], "little")
            at += escape_bytes
        gap = quotient * 2**k + sum(next(remainders) << bit for bit in range(k))
        index += gap + 1
        indices.append(index)
    exponents = data[at : at + blocks]
    at += blocks
    mantissas = struct.unpack(f"<{count}h", data[at : at + 2 * count])
    assert at + 2 * count + 32 == len(data)
    values = [m * 2.0 ** (exponents[n // 128] - 142) for n, m in enumerate(mantissas)]
    return indices, values, header


def bits(stream: bytes) -> Iterator[int]:
    return (byte >> bit & 1 for byte in stream for bit in range(8))
