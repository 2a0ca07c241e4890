from __future__ import annotations

import resource
import struct
import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from saft_core.delta.compression import MAX_WINDOW_BYTES, byte_planes, compress, decompress
from saft_core.errors import InvalidDelta

CONTENT = bytes(range(100)) * 3


def frame_of(content: bytes) -> bytes:
    return compress(np.frombuffer(content, dtype=np.uint8))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_planes_hold_the_bytes_of_one_significance_each(numbers: list[int]) -> None:
    planes = byte_planes(np.array(numbers, dtype=np.int64))
    assert len(planes) == 8
    rows = zip(*(plane.tolist() for plane in planes), strict=True)
    assert [int.from_bytes(bytes(row), "little", signed=True) for row in rows] == numbers


@given(st.binary())
def test_a_plane_comes_back(content: bytes) -> None:
    assert decompress(memoryview(frame_of(content)), len(content)).tobytes() == content


def without_content_size(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(content)


def with_a_window_of_128_mib() -> bytes:
    """A frame whose descriptor asks for such a window and states a content of 300 bytes, as one raw block."""
    descriptor, window = 0x40, (27 - 10) << 3  # two bytes of content size, from 256 on
    return struct.pack("<IBBH", 0xFD2FB528, descriptor, window, 300 - 256) + raw_block(CONTENT)


def raw_block(content: bytes) -> bytes:
    return (len(content) << 3 | 1).to_bytes(3, "little") + content


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0",
        CONTENT,
        frame_of(CONTENT)[:-1],
        frame_of(CONTENT)[:5],
        frame_of(CONTENT) + b"\0",
        frame_of(CONTENT) * 2,
        frame_of(CONTENT[1:]),
        frame_of(CONTENT + b"\0"),
        frame_of(CONTENT) + frame_of(b"1"),
        struct.pack("<II", 0x184D2A50, 4) + b"skip" + frame_of(CONTENT),
        struct.pack("<II", 0x184D2A50, len(CONTENT)) + CONTENT,
        without_content_size(CONTENT),
        struct.pack("<IBB", 0xFD2FB528, 0x20, 100) + raw_block(CONTENT),
        struct.pack("<IBH", 0xFD2FB528, 0x60, 44) + raw_block(CONTENT[:100]),
        zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(CONTENT)).compress(CONTENT),
        with_a_window_of_128_mib()[:-1],
    ],
    ids=range(17),
)
def test_what_is_not_one_frame_of_the_stated_content_is_refused(frame: bytes) -> None:
    with pytest.raises(InvalidDelta, match="a compressed part"):
        decompress(memoryview(frame), len(CONTENT))


def test_a_frame_by_another_writer_is_read() -> None:
    frame = struct.pack("<IBH", 0xFD2FB528, 0x60, len(CONTENT) - 256) + raw_block(CONTENT)
    assert decompress(memoryview(frame), len(CONTENT)).tobytes() == CONTENT


def test_no_memory_is_taken_for_a_long_window() -> None:
    with pytest.raises(InvalidDelta, match="too much memory"):
        decompress(memoryview(with_a_window_of_128_mib()[:-1]), len(CONTENT))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decompress(memoryview(with_a_window_of_128_mib()), len(CONTENT)).tobytes() == CONTENT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # in KiB


def test_an_empty_plane_has_no_frame() -> None:
    assert frame_of(b"") == b""
    with pytest.raises(InvalidDelta):
        decompress(memoryview(zstandard.ZstdCompressor().compress(b"")), 0)


def test_the_longest_window_is_read() -> None:
    plane = np.random.default_rng(0).integers(0, 256, MAX_WINDOW_BYTES + 1000).astype(np.uint8)
    plane[-1000:] = plane[:1000]
    assert np.array_equal(decompress(memoryview(compress(plane)), len(plane)), plane)


def test_a_frame_that_holds_more_than_it_should_takes_no_memory() -> None:
    frame = frame_of(bytes(100_000_000))
    assert len(frame) < 20_000
    tracemalloc.start()
    try:
        with pytest.raises(InvalidDelta, match="states 100000000 bytes in place of 10"):
            decompress(memoryview(frame), 10)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
