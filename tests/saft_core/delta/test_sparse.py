from __future__ import annotations

import numpy as np
import pytest

from saft_core.delta import SparseDelta
from saft_core.errors import InvalidDelta


@pytest.mark.parametrize(
    ("indices", "values"),
    [
        ([3, 1], [1.0, 1.0]),
        ([1, 1], [1.0, 1.0]),
        ([-1], [1.0]),
        ([1, 2], [1.0]),
        ([1], [np.nan]),
        ([1], [np.inf]),
        ([2**62, -(2**62)], [1.0, 1.0]),  # a wrapped sum: the difference would look positive
    ],
)
def test_a_delta_is_sorted_unique_and_finite(indices: list[int], values: list[float]) -> None:
    with pytest.raises(InvalidDelta):
        SparseDelta(np.array(indices, dtype=np.int64), np.array(values, dtype=np.float32))
