"""Sorted indices as Rice codes of their gaps, the Rice parameter adapted to each block of entries.

A gap g, the count of entries left out between two neighbours, is split into quotient `g >> k` and remainder, the low k
bits (Rice 1979; Golomb 1966). Quotients are written in unary, remainders in k bits. Selections cluster, so a few huge
jumps stand among many small gaps: they are left out when k is chosen, and a quotient from LONGEST_UNARY on is an
*escape*, written aside (as in the length-limited Golomb codes of JPEG-LS, ITU-T T.87). Parameters, unary codes,
remainders and escapes are four streams, because that lets numpy read each of them in one go. docs/delta-format.md is
the specification.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from saft_core.delta.bits import Integers, byte_count, read_fields, read_unary, write_fields, write_unary
from saft_core.delta.blocks import BLOCK_ENTRIES, block_count, spread
from saft_core.delta.reader import SectionReader
from saft_core.errors import InvalidDelta

MAX_PARAMETER = 23
LONGEST_UNARY = 20
TRIMMED_SHARE = 32
PIECE_ENTRIES = 512 * BLOCK_ENTRIES


def write_indices(indices: Integers, parameter_count: int) -> tuple[bytes, int]:
    """The four streams of strictly increasing `indices` (K,) below `parameter_count`, and the size of the unary one."""
    gaps = np.diff(indices, prepend=-1) - 1
    parameters = _parameters(gaps)
    k = spread(parameters, len(gaps))
    quotients = gaps >> k
    escapes = quotients[quotients >= LONGEST_UNARY] - LONGEST_UNARY
    unary = write_unary(np.minimum(quotients, LONGEST_UNARY))
    streams = [
        parameters.astype(np.uint8).tobytes(),
        unary,
        write_fields(gaps & ((1 << k) - 1), k),
        _write_escapes(escapes, _escape_bytes(parameter_count)),
    ]
    return b"".join(streams), len(unary)


def read_indices(reader: SectionReader, count: int, unary_bytes: int, parameter_count: int) -> Integers:
    """The inverse of `write_indices`, int64 (count,). Indices that leave the int64 range come out unsorted.

    Works piece by piece, so that it takes little memory besides its result.
    Raises InvalidDelta for streams that `write_indices` would not have written.
    """
    parameters = np.frombuffer(reader.take(block_count(count), "Rice parameters"), dtype=np.uint8)
    if parameters.max(initial=0) > MAX_PARAMETER:
        raise InvalidDelta(f"a Rice parameter is above {MAX_PARAMETER}")
    quotients = read_unary(reader.take(unary_bytes, "unary codes"), count, LONGEST_UNARY)
    remainders = SectionReader(reader.take(_remainder_bytes(parameters, count), "remainders"))
    escape_count = int(np.count_nonzero(quotients == LONGEST_UNARY))
    escapes = SectionReader(reader.take(escape_count * _escape_bytes(parameter_count), "escapes"))
    indices = np.empty(count, dtype=np.int64)
    last = -1
    for start in range(0, count, PIECE_ENTRIES):
        piece = slice(start, start + PIECE_ENTRIES)
        blocks = slice(start // BLOCK_ENTRIES, piece.stop // BLOCK_ENTRIES)
        gaps = _read_gaps(parameters[blocks], quotients[piece], remainders, escapes, parameter_count)
        indices[piece] = np.cumsum(gaps + 1) + last
        last = indices[piece][-1]
    return indices


def _read_gaps(
    parameters: npt.NDArray[np.uint8],
    quotients: npt.NDArray[np.uint8],
    remainders: SectionReader,
    escapes: SectionReader,
    parameter_count: int,
) -> Integers:
    """The gaps of some blocks, int64 (entries,), from their parameters (blocks,) and quotients (entries,)."""
    k = spread(parameters, len(quotients)).astype(np.int64)
    low = read_fields(remainders.take(byte_count(int(k.sum())), "remainders"), k)
    gaps = (quotients.astype(np.int64) << k) | low
    escaped = np.flatnonzero(quotients == LONGEST_UNARY)
    gaps[escaped] += _read_escapes(escapes, k[escaped], parameter_count) << k[escaped]
    if not np.array_equal(parameters, _parameters(gaps)):
        raise InvalidDelta("a Rice parameter does not belong to its block's gaps")
    return gaps


def _remainder_bytes(parameters: npt.NDArray[np.uint8], count: int) -> int:
    bits = int(parameters.sum(dtype=np.int64)) * BLOCK_ENTRIES
    missing = -count % BLOCK_ENTRIES
    return byte_count(bits - missing * int(parameters[-1])) if missing else byte_count(bits)


def _parameters(gaps: Integers) -> Integers:
    """The Rice parameter of each block: floor(log2(1.25 * S / n)), 0 to 23, where n counts the block's gaps and S sums
    all but the n // 32 largest of them. On measured selections within 0.05 bits an entry of the best choice.
    """
    capped = np.minimum(gaps, np.iinfo(np.int32).max).astype(np.int32)  # one gap beyond it means MAX_PARAMETER anyway
    sums, counts = np.empty((2, block_count(len(gaps))), dtype=np.int64)
    whole = len(gaps) // BLOCK_ENTRIES
    counts[:], counts[whole:] = BLOCK_ENTRIES, len(gaps) % BLOCK_ENTRIES
    sums[:whole] = _trimmed_sum(capped[: whole * BLOCK_ENTRIES].reshape(-1, BLOCK_ENTRIES))
    sums[whole:] = _trimmed_sum(capped[None, whole * BLOCK_ENTRIES :])
    bit_lengths = np.frexp(5 * sums // (4 * counts))[1]
    return np.asarray(np.clip(bit_lengths - 1, 0, MAX_PARAMETER), dtype=np.int64)


def _trimmed_sum(gaps: npt.NDArray[np.int32]) -> Integers:
    """Of each row (N, n) the sum of all but the n // 32 largest numbers: (N,)."""
    kept = gaps.shape[1] - gaps.shape[1] // TRIMMED_SHARE
    return np.asarray(np.sort(gaps, axis=1)[:, :kept].sum(axis=1, dtype=np.int64))


def _escape_bytes(parameter_count: int) -> int:
    """Whole bytes that any gap between the base's parameters fits into."""
    return byte_count(parameter_count.bit_length())


def _write_escapes(escapes: Integers, size: int) -> bytes:
    return escapes.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :size].tobytes()


def _read_escapes(reader: SectionReader, k: Integers, parameter_count: int) -> Integers:
    """The escapes of gaps with Rice parameters `k` (N,), int64 (N,). Raises InvalidDelta when a gap leaves the base."""
    size = _escape_bytes(parameter_count)
    wide = np.zeros((len(k), 8), dtype=np.uint8)
    wide[:, :size] = np.frombuffer(reader.take(len(k) * size, "escapes"), dtype=np.uint8).reshape(-1, size)
    escapes = wide.view("<i8").reshape(-1).astype(np.int64)
    if np.any((escapes < 0) | (escapes > (parameter_count >> k) - LONGEST_UNARY)):
        raise InvalidDelta(f"a gap is larger than the base's {parameter_count} parameters")
    return escapes
