"""Values in 16 bits each: blocks of integers that share a power of two (block floating point).

An entry is `m * 2**e` with a 16-bit m and its block's e, chosen so that the largest |m| of the block uses all of its 15
bits. That is exact in float32, holds neither NaN nor infinity, and its error is at most 2**-15 of the block's largest
value. docs/delta-format.md compares it with other 16-bit formats.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from saft_core.delta.blocks import block_count, rows, spread
from saft_core.delta.reader import SectionReader
from saft_core.errors import InvalidDelta

Values = npt.NDArray[np.float32]

MANTISSA_BITS = 15
LARGEST_MANTISSA = (1 << MANTISSA_BITS) - 1
SMALLEST_EXPONENT = -142
"""Exponents are stored in a byte, from this one on: the largest, 113, is the one that float32's largest values need."""


def write_values(values: Values) -> bytes:
    """The exponents' bytes and the mantissas of finite `values` (K,)."""
    peaks = np.abs(rows(values)).max(axis=1, initial=0.0)
    exponents = np.clip(_exponents(peaks), SMALLEST_EXPONENT, SMALLEST_EXPONENT + 255)
    steps = spread(np.ldexp(1.0, exponents), len(values))
    mantissas = np.clip(np.rint(values / steps), -LARGEST_MANTISSA, LARGEST_MANTISSA)
    stored = (exponents - SMALLEST_EXPONENT).astype(np.uint8)
    return b"".join([stored.tobytes(), mantissas.astype("<i2").tobytes()])


def read_values(reader: SectionReader, count: int) -> Values:
    """The inverse of `write_values`, float32 (count,).

    Raises InvalidDelta for bytes that `write_values` would not have written.
    """
    exponents = np.frombuffer(reader.take(block_count(count), "exponents"), dtype=np.uint8)
    mantissas = np.frombuffer(reader.take(2 * count, "values"), dtype="<i2")
    blocks = rows(mantissas)
    lowest, highest = (bound(blocks, axis=1).astype(np.int64) for bound in (np.min, np.max))
    if lowest.min(initial=0) < -LARGEST_MANTISSA:
        raise InvalidDelta(f"a value is below {-LARGEST_MANTISSA} steps")
    if np.any((np.maximum(highest, -lowest) <= LARGEST_MANTISSA // 2) & (exponents > 0)):
        raise InvalidDelta("a block of values has a larger exponent than it needs")
    steps = np.ldexp(np.float32(1), exponents.astype(np.int32) + SMALLEST_EXPONENT)
    return np.asarray((blocks * steps[:, None]).reshape(-1)[:count], dtype=np.float32)


def _exponents(peaks: Values) -> npt.NDArray[np.int32]:
    """The smallest exponent of each block with which its largest magnitude, rounded, still fits."""
    exponents = np.where(peaks > 0, np.frexp(peaks)[1] - MANTISSA_BITS, SMALLEST_EXPONENT)
    overflows = np.rint(np.ldexp(peaks.astype(np.float64), -exponents)) > LARGEST_MANTISSA
    return np.asarray(exponents + overflows, dtype=np.int32)
