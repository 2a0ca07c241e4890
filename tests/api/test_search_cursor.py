from __future__ import annotations

import base64
from datetime import UTC, datetime

import numpy as np
import pytest

from api.search_cursor import SearchCursor
from saft_core.errors import InvalidCursor
from saft_core.store.search import Place

DIGEST = bytes(range(16))
PLACE = Place(datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC), 0.1 + 0.2, "img_" + "a" * 32)
VECTOR = np.random.default_rng(0).normal(size=8).astype(np.float32)


def cursor(place: Place = PLACE, vector: object = VECTOR) -> str:
    return SearchCursor(DIGEST, place, np.asarray(vector, dtype=np.float32)).encode()


def test_a_cursor_comes_back_to_the_last_bit() -> None:
    read = SearchCursor.decode(cursor(), DIGEST, 8)
    assert read.place == PLACE
    np.testing.assert_array_equal(read.vector, VECTOR)


def test_a_cursor_of_another_search_says_so() -> None:
    with pytest.raises(InvalidCursor, match="another search"):
        SearchCursor.decode(cursor(), bytes(16), 8)


def test_a_cut_or_changed_cursor_is_refused_or_another_place() -> None:
    text = cursor()
    for length in range(len(text)):
        with pytest.raises(InvalidCursor):
            SearchCursor.decode(text[:length], DIGEST, 8)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "====", "é", "a b", "A" * 4000, cursor(vector=[0] * 8), cursor(vector=[np.nan] * 8),
        cursor(vector=[np.inf] + [0] * 7), cursor(vector=[1] * 7), cursor(vector=[1] * 9),
        cursor(Place(PLACE.as_of, float("nan"), "img")), cursor(Place(PLACE.as_of, float("inf"), "img")),
        cursor(Place(PLACE.as_of, 0.5, "a\0b")),
        base64.urlsafe_b64encode(DIGEST + b"\xff" * 7 + b"\x7f" + bytes(8) + b"\0" + VECTOR.tobytes()).decode(),
        base64.urlsafe_b64encode(DIGEST + bytes(16) + b"\x02\xff\xfe" + VECTOR.tobytes()).decode(),
    ],
)  # fmt: skip
def test_a_made_up_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor, match="none of ours"):
        SearchCursor.decode(text, DIGEST, 8)
