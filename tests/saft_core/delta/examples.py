"""Deltas that several tests use."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import strategies as st

from saft_core.delta import DeltaHeader, SparseDelta

LIMIT_BYTES = 1 << 20
HEADER = DeltaHeader(
    base_fingerprint="f" * 64,
    base_name="tiny",
    parameter_count=1_000_000_000,
    density=0.001,
    template="a photo of a {}.",
    classes=("katze", "собака", "猫"),
    metrics={"accuracy": 0.5},
)


def delta(indices: object, values: object) -> SparseDelta:
    return SparseDelta(np.asarray(indices, dtype=np.int64), np.asarray(values, dtype=np.float32))


@st.composite
def deltas(draw: st.DrawFn) -> SparseDelta:
    """Clusters and jumps: gaps of every size up to the last index, more than one block at times."""
    gap = st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 5000), st.integers(0, 10**8))
    repeats = st.integers(1, 90)
    runs = draw(st.lists(st.tuples(gap, repeats), max_size=8))
    gaps = [gap for gap, count in runs for _ in range(count)]
    indices = np.cumsum(np.array(gaps, dtype=np.int64) + 1) - 1
    indices = indices[indices < HEADER.parameter_count]
    if draw(st.booleans()) and (not len(indices) or indices[-1] < HEADER.parameter_count - 1):
        indices = np.append(indices, HEADER.parameter_count - 1)
    number = st.one_of(
        st.just(0.0), st.floats(-8, 8, width=32), st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
    some = draw(st.lists(number, min_size=1, max_size=40))
    return delta(indices, np.resize(np.array(some, dtype=np.float32), len(indices)))


def golden_delta() -> SparseDelta:
    """300 entries in three blocks: a run, small gaps, jumps that need escapes, zeros, tiny and huge values."""
    gaps = (
        [0] * 60 + [n * n % 23 for n in range(100)] + [7919 * n % 100_003 for n in range(137)] + [10**8, 0, 2 * 10**8]
    )
    values = [((n * 37 % 101) - 50) * 1e-5 for n in range(299)] + [3e38]
    values[5], values[6], values[130] = 0.0, 1e-45, -1e-12
    return delta(np.cumsum(np.array(gaps) + 1) - 1, values)


def sealed(body: bytes) -> bytes:
    """`body` with the checksum that belongs to it."""
    return body + hashlib.sha256(body).digest()
