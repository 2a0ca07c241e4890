from __future__ import annotations

import numpy as np
import pytest

from saft_core.sparse import loops


@pytest.mark.parametrize("width", [1, 3, 7, 768, 3072, 2**20 - 1])
def test_a_position_is_split_into_line_and_column_exactly(width: int) -> None:
    of_lines = np.random.default_rng(0).integers(0, 2**32 // width, 10_000) * width
    positions = np.concatenate([of_lines, of_lines + width - 1, [0, 2**32 - 1]]).astype(np.uint32)
    lines, columns = loops.unravel(positions, width)
    np.testing.assert_array_equal(lines, positions // width)
    np.testing.assert_array_equal(columns, positions % width)


def test_loops_run_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [], raising=True)

    def double(value: int) -> int:
        return 2 * value

    assert loops.compiled()(double)(3) == 6
