from __future__ import annotations

import dataclasses
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given

from saft_core.delta import DeltaHeader, SparseDelta, decode, encode
from saft_core.delta.compression import compress
from saft_core.errors import InvalidDelta, TooLarge
from tests.saft_core.delta.examples import HEADER, LIMIT_BYTES, delta, deltas, golden_delta, sealed
from tests.saft_core.delta.reference import read, unpacked

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parents[2] / "docs" / "delta-format.md"
VIT_B16_PARAMETERS = 149_620_737
PREFIX_BYTES = 21


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
    assert unpacked(encode(decoded, header)) == unpacked(stored)
    indices, values, fields = read(stored)
    assert (indices, values) == (decoded.indices.tolist(), decoded.values.astype(float).tolist())
    assert fields["classes"] == list(HEADER.classes)


def test_many_entries_come_back() -> None:
    generator = np.random.default_rng(0)
    gaps = np.where(generator.random(200_000) < 0.01, generator.integers(0, 90_000, 200_000), 0)
    original = delta(np.cumsum(gaps + 1) - 1, generator.normal(size=200_000))
    decoded, _ = decode(encode(original, HEADER), max_bytes=LIMIT_BYTES)
    assert np.array_equal(decoded.indices, original.indices)


def test_the_golden_file() -> None:
    """It was written once by `encode(golden_delta(), HEADER)` and never changes: stored adapters depend on it."""
    stored = (FOLDER / "golden.saft").read_bytes()
    assert unpacked(encode(golden_delta(), HEADER)) == unpacked(stored)
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
    assert unpacked(encode(decoded, header)) == unpacked(stored)


def selections() -> dict[str, npt.NDArray[np.int64]]:
    """0.1% of a ViT-B/16: anywhere, three of five in parts of rows, or whole rows far apart."""
    generator, count = np.random.default_rng(0), VIT_B16_PARAMETERS // 1000
    numbers = np.arange(count)
    return {
        "uniform": np.sort(generator.choice(VIT_B16_PARAMETERS, count, replace=False)),
        "parts of rows": np.flatnonzero(generator.random(2 * count) < 0.6)[:count] + numbers // 300 * 468,
        "rows": numbers + numbers // 768 * 700_000,
    }


@pytest.mark.parametrize("selection", ["uniform", "parts of rows", "rows"])
def test_an_entry_of_a_vit_b16_takes_at_most_three_and_a_third_bytes(selection: str) -> None:
    indices = selections()[selection]
    original = delta(indices, np.random.default_rng(1).normal(0, 1e-5, len(indices)))
    header = dataclasses.replace(HEADER, parameter_count=VIT_B16_PARAMETERS)
    assert len(original) == 149_620
    assert len(encode(original, header)) <= 3.35 * len(original)


# --- damage and malice -----------------------------------------------------------------------------------------------


def test_every_flipped_bit_is_noticed() -> None:
    stored = encode(small(), HEADER)
    for position in range(8 * len(stored)):
        damaged = bytearray(stored)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(InvalidDelta):
            decode(bytes(damaged), max_bytes=LIMIT_BYTES)


def test_every_flipped_byte_under_a_right_checksum_is_refused_or_read_as_the_document_says() -> None:
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
            indices, values, fields = read(data)
            assert (indices, values) == (decoded.indices.tolist(), decoded.values.astype(float).tolist())
            assert fields["classes"] == list(header.classes)
            assert unpacked(encode(decoded, header)) == unpacked(data)
    assert accepted  # a changed value is another delta


@pytest.mark.parametrize("reseal", [False, True])
def test_every_truncation_is_noticed(reseal: bool) -> None:
    stored = encode(golden_delta(), HEADER)
    for length in range(len(stored) - 32 * reseal):
        data = sealed(stored[:length]) if reseal else stored[:length]
        with pytest.raises(InvalidDelta):
            decode(data, max_bytes=LIMIT_BYTES)


def parts(delta_: SparseDelta, header: DeltaHeader = HEADER) -> tuple[bytes, list[bytes]]:
    """What comes before the compressed parts of its container, and these."""
    stored = encode(delta_, header)
    start = PREFIX_BYTES + struct.unpack_from("<I", stored, 8)[0] + len(delta_)
    rest, frames = stored[start:-32], []
    while rest:
        length = int.from_bytes(rest[:8], "little")
        frames.append(rest[8 : 8 + length])
        rest = rest[8 + length :]
    return stored[:start], frames


def container(start: bytes, frames: list[bytes]) -> bytes:
    start = start[:20] + bytes([len(frames) - 2]) + start[21:]
    return sealed(start + b"".join(struct.pack("<Q", len(frame)) + frame for frame in frames))


def plane(numbers: object) -> bytes:
    return compress(np.asarray(numbers, dtype=np.uint8))


def test_a_container_is_its_parts() -> None:
    assert container(*parts(golden_delta())) == encode(golden_delta(), HEADER)


@pytest.mark.parametrize("extra", [b"\0", bytes(8), bytes(9)])
def test_bytes_too_many_are_noticed(extra: bytes) -> None:
    with pytest.raises(InvalidDelta, match=f"{len(extra)} bytes too many"):
        decode(sealed(encode(small(), HEADER)[:-32] + extra), max_bytes=LIMIT_BYTES)


@pytest.mark.parametrize("planes", [0, 2, 3, 8, 9, 255])
def test_another_number_of_planes_than_there_are_is_noticed(planes: int) -> None:
    body = bytearray(encode(delta([0, 100], [1.0, 1.0]), HEADER)[:-32])
    assert body[20] == 1
    body[20] = planes
    with pytest.raises(InvalidDelta):
        decode(sealed(bytes(body)), max_bytes=LIMIT_BYTES)


def test_more_planes_than_a_number_has_bytes_are_refused() -> None:
    start, frames = parts(delta([0, 1], [1, 1]))
    with pytest.raises(InvalidDelta, match="9 planes"):
        decode(container(start, frames + [plane([0, 1])] * 9), max_bytes=LIMIT_BYTES)


def test_a_last_plane_of_zeros_is_refused() -> None:
    start, frames = parts(small())
    with pytest.raises(InvalidDelta, match="all zeros"):
        decode(container(start, [*frames, plane([0, 0, 0])]), max_bytes=LIMIT_BYTES)


@pytest.mark.parametrize("field", ["header_bytes", "count"])
@pytest.mark.parametrize("value", [0, 1, 2, 4, 1 << 20, (1 << 32) - 1, 1 << 62, (1 << 64) - 1])
def test_lying_lengths_are_refused_without_memory(field: str, value: int) -> None:
    body = encode(golden_delta(), HEADER)[:-32]
    lengths = dict(zip(("header_bytes", "count"), struct.unpack_from("<IQ", body, 8), strict=True))
    lengths[field] = min(value, 2**32 - 1) if field == "header_bytes" else value
    refuse_without_memory(sealed(body[:8] + struct.pack("<IQ", *lengths.values()) + body[20:]))


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("value", [0, 1, 1 << 20, 1 << 62, (1 << 64) - 1])
def test_lying_lengths_of_compressed_parts_are_refused_without_memory(place: int, value: int) -> None:
    start, frames = parts(golden_delta())
    sections = [struct.pack("<Q", len(frame)) + frame for frame in frames]
    sections[place] = struct.pack("<Q", value) + frames[place]
    refuse_without_memory(sealed(start + b"".join(sections)))


def refuse_without_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidDelta):
            decode(data, max_bytes=LIMIT_BYTES)
        assert tracemalloc.get_traced_memory()[1] < 100 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", range(3))
def test_a_frame_of_more_than_belongs_there_is_refused_without_memory(place: int) -> None:
    start, frames = parts(small())
    frames[place] = compress(np.zeros(100_000_000, dtype=np.uint8))
    refuse_without_memory(container(start, frames))


@pytest.mark.parametrize("hostile", [False, True])
def test_reading_takes_a_small_multiple_of_the_files_memory(hostile: bool) -> None:
    """A byte an entry: the most entries that a file can hold; and as many planes as there can be."""
    count = 1_000_000
    start, frames = parts(delta(np.arange(count), np.ones(count)))
    if hostile:
        frames += [plane(np.zeros(count))] * 7 + [plane([0] * (count - 1) + [1])]
    data = container(start, frames)
    tracemalloc.start()
    try:
        if hostile:
            with pytest.raises(InvalidDelta):
                decode(data, max_bytes=len(data))
        else:
            decode(data, max_bytes=len(data))
        assert tracemalloc.get_traced_memory()[1] < 15 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("gaps", "why"),
    [
        ((2**62, 2**62), "strictly increasing"),  # within the base each, their sum leaves 64 bits
        ((0, 2**64 - 1), "strictly increasing"),
        ((2**64 - 1, 0), "non-negative"),
        ((2**63, 0), "non-negative"),
        ((0, 2**63 - 2), "outside"),
        ((2**63 - 1, 2**63 - 1), "strictly increasing"),
    ],
)
def test_indices_that_leave_the_base_or_64_bits_are_refused(gaps: tuple[int, int], why: str) -> None:
    start, frames = parts(delta([0, 1], [1, 1]), dataclasses.replace(HEADER, parameter_count=2**63 - 1))
    rows = np.array(gaps, dtype="<u8").view(np.uint8).reshape(2, 8)
    with pytest.raises(InvalidDelta, match=why):
        decode(container(start, frames + [plane(column) for column in rows.T]), max_bytes=LIMIT_BYTES)


def test_more_entries_than_the_base_has_parameters_are_refused() -> None:
    data = encode(delta(range(10), [1.0] * 10), dataclasses.replace(HEADER, parameter_count=10))[:-32]
    data = data.replace(b'"parameter_count":10', b'"parameter_count":9')
    lie = data[:8] + struct.pack("<I", struct.unpack_from("<I", data, 8)[0] - 1) + data[12:]
    with pytest.raises(InvalidDelta, match="10 entries, its base has 9 parameters"):
        decode(sealed(lie), max_bytes=LIMIT_BYTES)


def test_a_container_above_the_limit_is_not_read() -> None:
    with pytest.raises(TooLarge, match="max_delta_bytes is 10"):
        decode(encode(small(), HEADER), max_bytes=10)


@pytest.mark.parametrize(
    ("magic", "why"),
    [(b"SAFTDLT1", "not SAFTDLT3"), (b"SAFTDLT2", r"version 2.* python -m migrations")],
)
def test_a_container_of_an_earlier_version_is_refused_by_its_name(magic: bytes, why: str) -> None:
    with pytest.raises(InvalidDelta, match=why):
        decode(sealed(magic + encode(small(), HEADER)[8:-32]), max_bytes=LIMIT_BYTES)


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
