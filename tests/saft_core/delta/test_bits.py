from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.delta.bits import read_fields, read_unary, write_fields, write_unary
from saft_core.errors import InvalidDelta


@given(st.lists(st.integers(0, 57).flatmap(lambda width: st.tuples(st.integers(0, 2**width - 1), st.just(width)))))
def test_fields_come_back(fields: list[tuple[int, int]]) -> None:
    numbers, widths = np.array(fields, dtype=np.int64).reshape(-1, 2).T
    stream = write_fields(numbers, widths)
    joined = sum(number << int(widths[:place].sum()) for place, (number, _) in enumerate(fields))
    assert stream == joined.to_bytes(-(-int(widths.sum()) // 8), "little")
    assert np.array_equal(read_fields(stream, widths), numbers)


@given(st.lists(st.integers(0, 20)))
def test_unary_codes_come_back(numbers: list[int]) -> None:
    assert read_unary(write_unary(np.array(numbers, dtype=np.int64)), len(numbers), 20).tolist() == numbers


def test_unary_codes_across_pieces_come_back() -> None:
    numbers = np.random.default_rng(0).integers(0, 21, 200_000)
    assert np.array_equal(read_unary(write_unary(numbers), len(numbers), 20), numbers)


@pytest.mark.parametrize(
    ("stream", "count"), [(b"", 1), (b"\1", 0), (b"\0", 0), (b"\3", 1), (b"\1\0", 1), (b"\0\0\1", 1), (b"\0\0\x40", 1)]
)
def test_other_unary_streams_are_refused(stream: bytes, count: int) -> None:
    with pytest.raises(InvalidDelta):
        read_unary(stream, count, 15)


def test_a_set_filling_bit_is_refused() -> None:
    with pytest.raises(InvalidDelta):
        read_fields(b"\x0f", np.array([3]))
