from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.delta.indices import read_indices, write_indices
from saft_core.errors import InvalidDelta


@given(st.sets(st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 2))))
def test_indices_come_back(numbers: set[int]) -> None:
    indices = np.array(sorted(numbers), dtype=np.int64)
    assert read_indices(write_indices(indices), len(indices)).tolist() == indices.tolist()


@pytest.mark.parametrize(
    ("indices", "planes"), [([], 0), ([0, 1, 2], 0), ([0, 256], 1), ([0, 257], 2), ([255], 1), ([2**56], 8)]
)
def test_there_are_as_many_planes_as_the_largest_gap_has_bytes(indices: list[int], planes: int) -> None:
    assert len(write_indices(np.array(indices, dtype=np.int64))) == planes


def test_a_last_plane_of_zeros_is_refused() -> None:
    planes = [np.array([1, 2], dtype=np.uint8), np.zeros(2, dtype=np.uint8)]
    assert read_indices(planes[:1], 2).tolist() == [1, 4]
    with pytest.raises(InvalidDelta, match="all zeros"):
        read_indices(planes, 2)
