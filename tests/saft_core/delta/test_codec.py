from __future__ import annotations

import dataclasses
import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.delta import DeltaHeader, SparseDelta, decode, encode
from saft_core.errors import InvalidDelta, TooLarge

LIMIT_BYTES = 1 << 20
HEADER = DeltaHeader(
    base_fingerprint="f" * 64,
    base_name="tiny",
    parameter_count=1_000_000,
    density=0.001,
    template="a photo of a {}.",
    classes=("katze", "собака", "猫"),
    metrics={"accuracy": 0.5},
)


@st.composite
def deltas(draw: st.DrawFn) -> SparseDelta:
    indices = sorted(draw(st.sets(st.integers(0, HEADER.parameter_count - 1), max_size=50)))
    values = draw(st.lists(st.floats(-8, 8, width=32), min_size=len(indices), max_size=len(indices)))
    return SparseDelta(np.array(indices, dtype=np.int64), np.array(values, dtype=np.float32))


def small() -> SparseDelta:
    return SparseDelta(np.array([0, 7, 999_999]), np.array([0.5, -0.25, 1e-3], dtype=np.float32))


@given(deltas())
def test_round_trip_keeps_indices_and_values_to_16_bits(delta: SparseDelta) -> None:
    decoded, header = decode(encode(delta, HEADER), max_bytes=LIMIT_BYTES)
    assert header == HEADER
    assert np.array_equal(decoded.indices, delta.indices)
    largest = np.abs(delta.values).max(initial=0.0)
    assert np.all(np.abs(decoded.values - delta.values) <= np.maximum(np.abs(delta.values) * 2**-11, largest * 2**-24))


@given(deltas())
def test_encoding_what_was_decoded_changes_nothing(delta: SparseDelta) -> None:
    stored = encode(delta, HEADER)
    assert encode(*decode(stored, max_bytes=LIMIT_BYTES)) == stored


def test_every_flipped_byte_is_noticed() -> None:
    stored = encode(small(), HEADER)
    for position in range(len(stored)):
        damaged = bytearray(stored)
        damaged[position] ^= 0x41
        with pytest.raises(InvalidDelta):
            decode(bytes(damaged), max_bytes=LIMIT_BYTES)


def test_every_truncation_is_noticed() -> None:
    stored = encode(small(), HEADER)
    for length in range(len(stored)):
        with pytest.raises(InvalidDelta):
            decode(stored[:length], max_bytes=LIMIT_BYTES)


def test_a_container_above_the_limit_is_not_read() -> None:
    with pytest.raises(TooLarge, match="max_delta_bytes is 10"):
        decode(encode(small(), HEADER), max_bytes=10)


def forge(**changes: object) -> bytes:
    """A container with a correct checksum over a header that lies."""
    stored = encode(small(), HEADER)
    (length,) = struct.unpack_from("<I", stored, 8)
    fields = json.loads(stored[12 : 12 + length]) | changes
    text = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    body = stored[:8] + struct.pack("<I", len(text)) + text + stored[12 + length : -32]
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nnz", 10**15),
        ("nnz", -3),
        ("nnz", 2),
        ("nnz", True),
        ("nnz", "3"),
        ("nnz", None),
        ("scale", 0.0),
        ("scale", -1.0),
        ("scale", 1e300),
        ("scale", "1"),
        ("value_dtype", "object"),
        ("parameter_count", 999_999),
        ("parameter_count", "many"),
        ("classes", [1, 2]),
        ("classes", "abc"),
        ("template", 5),
        ("metrics", []),
        ("base_fingerprint", None),
    ],
)
def test_a_lying_header_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidDelta):
        decode(forge(**{field: value}), max_bytes=LIMIT_BYTES)


def test_a_forged_header_without_lies_is_read() -> None:
    assert decode(forge(), max_bytes=LIMIT_BYTES)[1] == HEADER


def test_an_index_beyond_the_base_is_not_written() -> None:
    with pytest.raises(InvalidDelta, match="999999"):
        encode(small(), dataclasses.replace(HEADER, parameter_count=999_999))


@pytest.mark.parametrize(
    ("indices", "values"),
    [
        ([3, 1], [1.0, 1.0]),
        ([1, 1], [1.0, 1.0]),
        ([-1], [1.0]),
        ([1, 2], [1.0]),
        ([1], [np.nan]),
        ([1], [np.inf]),
    ],
)
def test_a_delta_is_sorted_unique_and_finite(indices: list[int], values: list[float]) -> None:
    with pytest.raises(InvalidDelta):
        SparseDelta(np.array(indices, dtype=np.int64), np.array(values, dtype=np.float32))
