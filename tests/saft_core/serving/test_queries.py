from __future__ import annotations

import numpy as np
import pytest

from saft_core.errors import InvalidInput
from saft_core.serving.queries import FloatArray, combine

TEXT, IMAGE, OTHER = np.eye(3, dtype=np.float32)


def unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def test_one_part_is_the_query_as_it_stands() -> None:
    np.testing.assert_array_equal(combine(TEXT, None, None), TEXT)
    np.testing.assert_array_equal(combine(None, IMAGE, None), IMAGE)


def test_text_and_image_are_weighed_and_normalised() -> None:
    np.testing.assert_allclose(combine(TEXT, IMAGE, None), unit(TEXT + IMAGE), atol=1e-6)
    np.testing.assert_allclose(combine(TEXT, IMAGE, None, 0.8), unit(0.8 * TEXT + 0.2 * IMAGE), atol=1e-6)
    np.testing.assert_array_equal(combine(TEXT, IMAGE, None, 1), TEXT)
    np.testing.assert_array_equal(combine(TEXT, IMAGE, None, 0), IMAGE)


def test_half_of_what_is_unwanted_is_taken_from_the_unit_query() -> None:
    np.testing.assert_allclose(combine(TEXT, None, OTHER), unit(2 * TEXT - OTHER), atol=1e-6)
    expected = unit(unit(TEXT + IMAGE) - 0.5 * OTHER)
    np.testing.assert_allclose(combine(TEXT, IMAGE, OTHER), expected, atol=1e-6)
    np.testing.assert_allclose(combine(TEXT, None, TEXT), TEXT, atol=1e-6)  # what is wanted and not is still wanted


def test_opposite_parts_leave_nothing_to_search_by() -> None:
    with pytest.raises(InvalidInput, match="opposite"):
        combine(TEXT, -TEXT, None)
