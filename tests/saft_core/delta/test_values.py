from __future__ import annotations

import numpy as np
import pytest

from saft_core.delta.values import BlockFloats, restore_values, round_values
from saft_core.errors import InvalidDelta


def stored(exponents: list[int], mantissas: list[int]) -> BlockFloats:
    return BlockFloats(np.array(exponents, dtype=np.uint8), np.array(mantissas, dtype=np.int16))


def test_a_block_shares_the_smallest_exponent_that_its_largest_value_fits() -> None:
    values = np.zeros(130, dtype=np.float32)
    values[[0, 1, 128]] = 0.5, -0.25, 3.0
    exponents, mantissas = round_values(values)
    assert exponents.tolist() == [127, 129]
    assert mantissas[[0, 1, 2, 128, 129]].tolist() == [16384, -8192, 0, 24576, 0]
    assert np.array_equal(restore_values(BlockFloats(exponents, mantissas)), values)


@pytest.mark.parametrize(
    ("exponents", "mantissas", "why"),
    [
        ([142], [-32768], "below -32767 steps"),
        ([142], [16383], "larger exponent than it needs"),
        ([1], [0], "larger exponent than it needs"),
        ([142, 142], [20000] * 128 + [1], "larger exponent than it needs"),
    ],
)
def test_another_spelling_of_values_is_refused(exponents: list[int], mantissas: list[int], why: str) -> None:
    with pytest.raises(InvalidDelta, match=why):
        restore_values(stored(exponents, mantissas))


def test_the_smallest_exponent_is_enough_for_small_values() -> None:
    assert restore_values(stored([0], [1])).tolist() == [2.0**-142]
