"""Values in 16 bits each: blocks of integers that share a power of two (block floating point).

An entry is `m * 2**e` with a 16-bit m and its block's e, chosen so that the largest |m| of the block uses all of its 15
bits. That is exact in float32, holds neither NaN nor infinity, and its error is at most 2**-15 of the block's largest
value. docs/delta-format.md compares it with other 16-bit formats.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from saft_core.errors import InvalidDelta

Values = npt.NDArray[np.float32]

BLOCK_ENTRIES = 128
MANTISSA_BITS = 15
LARGEST_MANTISSA = (1 << MANTISSA_BITS) - 1
SMALLEST_EXPONENT = -142
"""Exponents are stored in a byte, from this one on: the largest, 113, is the one that float32's largest values need."""


class BlockFloats(NamedTuple):
    """Rounded values of K entries in blocks of BLOCK_ENTRIES, the last of which may be shorter.

    exponents: uint8 (blocks,), counted from SMALLEST_EXPONENT. mantissas: int16 (K,).
    """

    exponents: npt.NDArray[np.uint8]
    mantissas: npt.NDArray[np.int16]


def block_count(entries: int) -> int:
    """Blocks that hold so many entries."""
    return -(-entries // BLOCK_ENTRIES)


def round_values(values: Values) -> BlockFloats:
    """Finite `values` (K,) rounded to the nearest that can be stored, half to even."""
    peaks = np.abs(_as_blocks(values)).max(axis=1, initial=0.0)
    exponents = np.clip(_exponents(peaks), SMALLEST_EXPONENT, SMALLEST_EXPONENT + 255)
    steps = np.repeat(np.ldexp(1.0, exponents), BLOCK_ENTRIES)[: len(values)]
    mantissas = np.clip(np.rint(values / steps), -LARGEST_MANTISSA, LARGEST_MANTISSA)
    return BlockFloats((exponents - SMALLEST_EXPONENT).astype(np.uint8), mantissas.astype(np.int16))


def restore_values(stored: BlockFloats) -> Values:
    """The values, float32 (K,), exactly. Raises InvalidDelta for what `round_values` would not have given."""
    exponents, mantissas = stored
    blocks = _as_blocks(mantissas)
    lowest, highest = (bound(blocks, axis=1).astype(np.int64) for bound in (np.min, np.max))
    if lowest.min(initial=0) < -LARGEST_MANTISSA:
        raise InvalidDelta(f"a value is below {-LARGEST_MANTISSA} steps")
    if np.any((np.maximum(highest, -lowest) <= LARGEST_MANTISSA // 2) & (exponents > 0)):
        raise InvalidDelta("a block of values has a larger exponent than it needs")
    steps = np.ldexp(np.float32(1), exponents.astype(np.int32) + SMALLEST_EXPONENT)
    return np.asarray((blocks * steps[:, None]).reshape(-1)[: len(mantissas)], dtype=np.float32)


def _as_blocks(values: npt.NDArray[np.float32] | npt.NDArray[np.int16]) -> npt.NDArray[np.float32 | np.int16]:
    """Values (K,) as one row a block, the last row filled up with zeros: (blocks, BLOCK_ENTRIES)."""
    filled = np.zeros(block_count(len(values)) * BLOCK_ENTRIES, dtype=values.dtype)
    filled[: len(values)] = values
    return filled.reshape(-1, BLOCK_ENTRIES)


def _exponents(peaks: npt.NDArray[np.float32 | np.int16]) -> npt.NDArray[np.int32]:
    """The smallest exponent of each block with which its largest magnitude, rounded, still fits."""
    exponents = np.where(peaks > 0, np.frexp(peaks)[1] - MANTISSA_BITS, SMALLEST_EXPONENT)
    overflows = np.rint(np.ldexp(peaks.astype(np.float64), -exponents)) > LARGEST_MANTISSA
    return np.asarray(exponents + overflows, dtype=np.int32)
