from __future__ import annotations

import dataclasses
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given

from saft_core.delta import DeltaHeader, SparseDelta, decode, encode
from saft_core.delta.bits import Integers
from saft_core.errors import InvalidDelta, TooLarge
from tests.saft_core.delta.examples import HEADER, LIMIT_BYTES, delta, deltas, golden_delta, sealed
from tests.saft_core.delta.reference import read

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parents[2] / "docs" / "delta-format.md"
VIT_B16_PARAMETERS = 149_620_737


def small() -> SparseDelta:
    return delta([0, 7, 999_999_999], [0.5, -0.25, 1e-3])


@given(deltas())
@example(delta([], []))
@example(delta([0], [0.0]))
@example(delta([HEADER.parameter_count - 1], [1e-45]))
@example(delta(np.arange(1000), np.zeros(1000)))
@example(delta(np.arange(129) * 5_000_000, np.full(129, np.finfo(np.float32).max)))
@example(delta([3], [np.finfo(np.float32).min]))
@example(delta([3], [3e-41]))
def test_a_delta_comes_back_with_its_values_rounded_as_the_document_says(original: SparseDelta) -> None:
    stored = encode(original, HEADER)
    decoded, header = decode(stored, max_bytes=LIMIT_BYTES)
    assert header == HEADER
    assert np.array_equal(decoded.indices, original.indices)
    for start in range(0, len(original), 128):
        before, after = (d.values[start : start + 128].astype(np.float64) for d in (original, decoded))
        assert np.abs(after - before).max() <= max(np.abs(before).max() * 2.0**-15, 2.0**-143)
    assert encode(decoded, header) == stored
    indices, values, fields = read(stored)
    assert (indices, values) == (decoded.indices.tolist(), decoded.values.astype(float).tolist())
    assert fields["classes"] == list(HEADER.classes)


def test_more_than_one_piece_of_blocks_comes_back() -> None:
    generator = np.random.default_rng(0)
    gaps = np.where(generator.random(200_000) < 0.01, generator.integers(0, 90_000, 200_000), 0)
    original = delta(np.cumsum(gaps + 1) - 1, generator.normal(size=200_000))
    decoded, _ = decode(encode(original, HEADER), max_bytes=LIMIT_BYTES)
    assert np.array_equal(decoded.indices, original.indices)


def test_the_golden_file() -> None:
    """It was written once by `encode(golden_delta(), HEADER)` and never changes: stored adapters depend on it."""
    stored = (FOLDER / "golden.saft").read_bytes()
    assert encode(golden_delta(), HEADER) == stored
    decoded, header = decode(stored, max_bytes=LIMIT_BYTES)
    assert header == HEADER
    assert np.array_equal(decoded.indices, golden_delta().indices)


def test_the_documents_example_is_a_container() -> None:
    listing = DOCUMENT.read_text("utf-8").split("```hex\n")[1].split("```")[0]
    stored = bytes.fromhex("".join(line.split("|")[1] for line in listing.splitlines()))
    decoded, header = decode(stored, max_bytes=LIMIT_BYTES)
    assert decoded.indices.tolist() == [5, 6, 900]
    assert decoded.values.tolist() == [0.5, -0.25, 0.125]
    assert (header.parameter_count, header.classes, header.metrics) == (1000, ("a",), {})
    assert encode(decoded, header) == stored


def selections() -> dict[str, Integers]:
    """0.1% of a ViT-B/16: anywhere, three of five in parts of rows, or whole rows far apart."""
    generator, count = np.random.default_rng(0), VIT_B16_PARAMETERS // 1000
    numbers = np.arange(count)
    return {
        "uniform": np.sort(generator.choice(VIT_B16_PARAMETERS, count, replace=False)),
        "parts of rows": np.flatnonzero(generator.random(2 * count) < 0.6)[:count] + numbers // 300 * 468,
        "rows": numbers + numbers // 768 * 700_000,
    }


@pytest.mark.parametrize("selection", ["uniform", "parts of rows", "rows"])
def test_an_entry_of_a_vit_b16_takes_at_most_three_and_a_half_bytes(selection: str) -> None:
    indices = selections()[selection]
    original = delta(indices, np.random.default_rng(1).normal(0, 1e-5, len(indices)))
    header = dataclasses.replace(HEADER, parameter_count=VIT_B16_PARAMETERS)
    assert len(original) == 149_620
    assert len(encode(original, header)) <= 3.5 * len(original)


# --- damage and malice -----------------------------------------------------------------------------------------------


def test_every_flipped_bit_is_noticed() -> None:
    stored = encode(small(), HEADER)
    for position in range(8 * len(stored)):
        damaged = bytearray(stored)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(InvalidDelta):
            decode(bytes(damaged), max_bytes=LIMIT_BYTES)


def test_every_flipped_byte_under_a_right_checksum_is_refused_or_another_canonical_delta() -> None:
    body = encode(golden_delta(), HEADER)[:-32]
    accepted = 0
    for position in range(len(body)):
        for mask in (0x01, 0x80, 0xFF):
            forged = bytearray(body)
            forged[position] ^= mask
            data = sealed(bytes(forged))
            try:
                decoded, header = decode(data, max_bytes=LIMIT_BYTES)
            except InvalidDelta:
                continue
            accepted += 1
            assert encode(decoded, header) == data
    assert accepted  # a changed value is another delta


@pytest.mark.parametrize("reseal", [False, True])
def test_every_truncation_is_noticed(reseal: bool) -> None:
    stored = encode(golden_delta(), HEADER)
    for length in range(len(stored) - 32 * reseal):
        data = sealed(stored[:length]) if reseal else stored[:length]
        with pytest.raises(InvalidDelta):
            decode(data, max_bytes=LIMIT_BYTES)


def test_bytes_too_many_are_noticed() -> None:
    with pytest.raises(InvalidDelta, match="1 bytes too many"):
        decode(sealed(encode(small(), HEADER)[:-32] + b"\0"), max_bytes=LIMIT_BYTES)


@pytest.mark.parametrize("field", ["header_bytes", "count", "unary_bytes"])
@pytest.mark.parametrize("value", [0, 1, 2, 4, 1 << 20, (1 << 32) - 1, 1 << 62, (1 << 64) - 1])
def test_lying_lengths_are_refused_without_memory(field: str, value: int) -> None:
    body = encode(golden_delta(), HEADER)[:-32]
    lengths = dict(zip(("header_bytes", "count", "unary_bytes"), struct.unpack_from("<IQQ", body, 8), strict=True))
    lengths[field] = min(value, 2**32 - 1) if field == "header_bytes" else value
    data = sealed(body[:8] + struct.pack("<IQQ", *lengths.values()) + body[28:])
    tracemalloc.start()
    try:
        with pytest.raises(InvalidDelta):
            decode(data, max_bytes=LIMIT_BYTES)
        assert tracemalloc.get_traced_memory()[1] < 100 * len(data)
    finally:
        tracemalloc.stop()


def test_reading_takes_a_small_multiple_of_the_files_memory() -> None:
    count = 1_000_000  # one bit a gap: the most entries that a file can hold
    stored = encode(delta(np.arange(count), np.ones(count)), HEADER)
    tracemalloc.start()
    try:
        decode(stored, max_bytes=len(stored))
        assert tracemalloc.get_traced_memory()[1] < 10 * len(stored)
    finally:
        tracemalloc.stop()


def test_indices_that_wrap_around_are_refused() -> None:
    """Two gaps within the base whose sum leaves 64 bits."""
    header = dataclasses.replace(HEADER, parameter_count=2**63 - 1)
    body = bytearray(encode(delta([2**62, 2**62 + 2**61], [1, 1]), header)[:-32])
    escapes = slice(len(body) - 5 - 16, len(body) - 5)
    quotient = (2**62 + 2**61 >> 23) - 20
    body[escapes] = struct.pack("<2Q", quotient, quotient)
    with pytest.raises(InvalidDelta, match="strictly increasing"):
        decode(sealed(bytes(body)), max_bytes=LIMIT_BYTES)
    body[escapes] = struct.pack("<2Q", 2**64 - 1, quotient)
    with pytest.raises(InvalidDelta, match="larger than the base"):
        decode(sealed(bytes(body)), max_bytes=LIMIT_BYTES)


def test_a_container_above_the_limit_is_not_read() -> None:
    with pytest.raises(TooLarge, match="max_delta_bytes is 10"):
        decode(encode(small(), HEADER), max_bytes=10)


def test_a_container_of_version_1_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidDelta, match="SAFTDLT2"):
        decode(sealed(b"SAFTDLT1" + encode(small(), HEADER)[8:-32]), max_bytes=LIMIT_BYTES)


def test_an_index_beyond_the_base_is_neither_written_nor_read() -> None:
    short: DeltaHeader = dataclasses.replace(HEADER, parameter_count=999_999_999)
    with pytest.raises(InvalidDelta, match="999999999"):
        encode(small(), short)
    body = encode(small(), HEADER)[:-32].replace(b'"parameter_count":1000000000', b'"parameter_count":0999999999')
    with pytest.raises(InvalidDelta):
        decode(sealed(body), max_bytes=LIMIT_BYTES)
    body = encode(small(), HEADER)[:-32].replace(b'"tiny","classes"', b'"tiny+","classes"')
    lie = body.replace(b'"parameter_count":1000000000', b'"parameter_count":999999999')
    with pytest.raises(InvalidDelta, match="outside"):
        decode(sealed(lie), max_bytes=LIMIT_BYTES)
