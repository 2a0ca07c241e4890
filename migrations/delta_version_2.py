"""Deltas of version 2 of the container, rewritten in version 3: those in the database, or a file.

    python -m migrations.delta_version_2 OLD.saft NEW.saft

Version 2 had Rice codes for the gaps (docs/delta-format.md of that release); header and values are the same to the bit.
The release after this one drops this module with the column `container`, once `rewrite` has run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard
from sqlalchemy import Engine, text

LOCK_KEY = 0x5AF8
"""PostgreSQL advisory lock held while deltas are rewritten: of processes that start together one does the work."""
BLOCK, LONGEST_UNARY, LEVEL = 128, 20, 15

logger = logging.getLogger(__name__)


class _Delta(NamedTuple):
    """What both versions hold: header bytes; gaps int64 (K,); exponents, a byte a block; mantissas '<i2' (K,)."""

    header: bytes
    gaps: npt.NDArray[np.int64]
    exponents: bytes
    mantissas: npt.NDArray[np.int16]


def rewrite(engine: Engine) -> None:
    """Fill `adapter_deltas.delta` where it is null: in rows from before the column, and in what the old service writes.

    One statement a row, so that nobody waits. What cannot be read stays as it is, with a line in the log.
    """
    missing = text("SELECT adapter_id FROM adapter_deltas WHERE delta IS NULL")
    stored = text("SELECT container FROM adapter_deltas WHERE adapter_id = :id AND delta IS NULL")
    store = text(
        "WITH adapter AS (UPDATE adapters SET delta_bytes = :size WHERE id = :id RETURNING id)"
        " UPDATE adapter_deltas SET delta = :delta FROM adapter WHERE adapter_id = adapter.id"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        for adapter_id in connection.scalars(missing).all():
            container = connection.scalar(stored, {"id": adapter_id})
            if container is None:
                continue
            try:
                delta = rewritten(container)
            except ValueError as error:
                logger.warning("the delta of adapter %s stays in version 2: %s", adapter_id, error)
                continue
            connection.execute(store, {"id": adapter_id, "size": len(delta), "delta": delta})
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})


def rewritten(container: bytes) -> bytes:
    """The same delta in version 3. Raises ValueError for what is no sound container of version 2."""
    if container[:8] != b"SAFTDLT2":
        raise ValueError("the first eight bytes are not SAFTDLT2")
    if hashlib.sha256(container[:-32]).digest() != container[-32:]:
        raise ValueError("the checksum does not match: the file is damaged or cut short")
    return _write(_read(container[:-32]))


def _read(body: bytes) -> _Delta:
    header_bytes, count, unary_bytes = struct.unpack_from("<IQQ", body, 8)
    header, body = body[28 : 28 + header_bytes], body[28 + header_bytes :]
    blocks = -(-count // BLOCK)
    parameters, unary, body = body[:blocks], body[blocks : blocks + unary_bytes], body[blocks + unary_bytes :]
    k = np.repeat(np.frombuffer(parameters, np.uint8), BLOCK)[:count].astype(np.int64)
    ones = np.flatnonzero(np.unpackbits(np.frombuffer(unary, np.uint8), bitorder="little"))
    quotients = np.diff(ones, prepend=-1) - 1
    remainder_bytes = (int(k.sum()) + 7) // 8
    gaps = quotients << k | _remainders(body[:remainder_bytes], k)
    body = body[remainder_bytes:]
    escaped = np.flatnonzero(quotients == LONGEST_UNARY)
    width = (json.loads(header)["parameter_count"].bit_length() + 7) // 8
    gaps[escaped] += _integers(body[: width * len(escaped)], width) << k[escaped]
    body = body[width * len(escaped) :]
    return _Delta(header, gaps, body[:blocks], np.frombuffer(body[blocks:], "<i2", count))


def _remainders(stream: bytes, k: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The low `k` bits of each gap, from a stream in which they follow one another, the lowest bit first."""
    starts = np.cumsum(k) - k
    windows = np.ndarray(len(stream) + 1, dtype="<i8", buffer=stream + bytes(8), strides=(1,))  # one at each byte
    return np.asarray(windows[starts >> 3] >> (starts & 7) & (1 << k) - 1, dtype=np.int64)


def _integers(data: bytes, width: int) -> npt.NDArray[np.int64]:
    """Little-endian integers of `width` bytes each."""
    wide = np.zeros((len(data) // width, 8), dtype=np.uint8)
    wide[:, :width] = np.frombuffer(data, np.uint8).reshape(-1, width)
    return wide.view("<i8").reshape(-1).astype(np.int64)


def _write(delta: _Delta) -> bytes:
    low, high = delta.mantissas.view(np.uint8).reshape(-1, 2).T
    width = (int(delta.gaps.max(initial=0)).bit_length() + 7) // 8
    planes = delta.gaps.astype("<i8").view(np.uint8).reshape(-1, 8).T[:width]
    frames = [_compressed(plane) for plane in (delta.exponents, high.tobytes(), *(plane.tobytes() for plane in planes))]
    prefix = struct.pack("<8sIQB", b"SAFTDLT3", len(delta.header), len(delta.gaps), width)
    sections = [struct.pack("<Q", len(frame)) + frame for frame in frames]
    body = b"".join([prefix, delta.header, low.tobytes(), *sections])
    return body + hashlib.sha256(body).digest()


def _compressed(plane: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL).compress(plane) if plane else b""


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m migrations.delta_version_2 OLD.saft NEW.saft")
    try:
        Path(sys.argv[2]).write_bytes(rewritten(Path(sys.argv[1]).read_bytes()))
    except (OSError, ValueError) as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
