"""Bit streams. Bit n of a stream is bit n % 8 of byte n // 8, least significant first; a number's low bit comes first.

The bits that fill up the last byte are zero, so a sequence has exactly one stream.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from saft_core.errors import InvalidDelta

Integers = npt.NDArray[np.int64]
Buffer = bytes | memoryview

MAX_FIELD_BITS = 57
"""The widest field that one 64-bit window at a byte boundary always covers."""
_UNPACKED_BYTES = 1 << 16
"""A long unary stream is unpacked piece by piece: unpacked it would take 64 times its memory."""


def byte_count(bits: int) -> int:
    """Bytes that hold so many bits."""
    return -(-bits // 8)


def write_fields(numbers: Integers, widths: Integers) -> bytes:
    """Numbers (K,), each below 2**width, one after the other in fields of `widths` (K,) bits, 0 to 57."""
    ends = np.cumsum(widths)
    starts = ends - widths
    total = int(widths.sum())
    words = np.zeros(total // 64 + 2, dtype="<u8")
    word, shift = starts >> 6, (starts & 63).astype(np.uint64)
    unsigned = numbers.astype(np.uint64)
    np.bitwise_or.at(words, word, unsigned << shift)
    np.bitwise_or.at(words, word + 1, unsigned >> np.uint64(1) >> (np.uint64(63) - shift))  # what the first word lost
    return words.tobytes()[: byte_count(total)]


def read_fields(stream: Buffer, widths: Integers) -> Integers:
    """The inverse of `write_fields`; `stream` has exactly `byte_count(widths.sum())` bytes.

    Raises InvalidDelta when the bits that fill up the last byte are not zero.
    """
    ends = np.cumsum(widths)
    starts = ends - widths
    if len(stream) and stream[-1] >> (1 + (int(ends[-1]) - 1) % 8):
        raise InvalidDelta("a bit behind the last remainder is set")
    padded = bytes(stream) + bytes(8)
    windows = np.ndarray(len(stream) + 1, dtype="<u8", buffer=padded, strides=(1,))  # one at each byte
    return (windows.take(starts >> 3).view(np.int64) >> (starts & 7)) & ((1 << widths) - 1)


def write_unary(numbers: Integers) -> bytes:
    """Numbers (K,) as that many zero bits and a one bit each."""
    ones = np.cumsum(numbers + 1) - 1
    stream = np.zeros(int(ones[-1]) + 1 if len(ones) else 0, dtype=np.uint8)
    stream[ones] = 1
    return np.packbits(stream, bitorder="little").tobytes()


def read_unary(stream: Buffer, count: int, largest: int) -> npt.NDArray[np.uint8]:
    """The inverse of `write_unary` for `count` numbers up to `largest`, which is at most 255: uint8 (count,).

    Raises InvalidDelta, before it unpacks anything, when the stream cannot hold just that.
    """
    packed = np.frombuffer(stream, dtype=np.uint8)
    if len(packed) > byte_count(count * (largest + 1)):
        raise InvalidDelta(f"{len(packed)} bytes of unary codes are too many for {count} entries")
    if int(np.bitwise_count(packed).sum(dtype=np.int64)) != count or (count and not packed[-1]):
        raise InvalidDelta(f"the unary codes are not those of {count} entries")
    numbers = np.empty(count, dtype=np.uint8)
    filled, pending = 0, 0  # pending: zeros at the end of the pieces before
    for start in range(0, len(packed), _UNPACKED_BYTES):
        piece = packed[start : start + _UNPACKED_BYTES]
        ones = np.flatnonzero(np.unpackbits(piece, bitorder="little").view(np.bool_))
        lengths = np.diff(ones, prepend=-1 - pending) - 1
        if lengths.max(initial=0) > largest:
            raise InvalidDelta(f"a unary code is longer than {largest}")
        numbers[filled : filled + len(ones)] = lengths
        filled += len(ones)
        pending = 8 * len(piece) - 1 - int(ones[-1]) if len(ones) else pending + 8 * len(piece)
    return numbers
