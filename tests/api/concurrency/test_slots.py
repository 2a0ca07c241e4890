from __future__ import annotations

from contextlib import ExitStack

import pytest

from api.concurrency.slots import Slots
from saft_core.errors import Busy


def test_a_share_has_as_many_as_are_free_and_another_still_finds_some() -> None:
    places = Slots(8, "some_limit")
    with ExitStack() as flood:
        for _ in range(4):
            flood.enter_context(places.held("a"))
        with pytest.raises(Busy, match="some_limit is 8"):
            flood.enter_context(places.held("a"))
        flood.enter_context(places.held("b", 2))
        assert (places.taken, places.free) == (6, 2)
        with pytest.raises(Busy), places.held("b"):
            pass
    assert places.free == 8


def test_more_than_all_is_let_in_alone() -> None:
    places = Slots(4, "some_limit")
    with places.held("a", 9):
        assert places.free == 0
        with pytest.raises(Busy), places.held("b"):
            pass
    with places.held("b", 4):
        pass


def test_an_error_within_gives_the_places_back() -> None:
    places = Slots(4, "some_limit")
    with pytest.raises(ZeroDivisionError), places.held("a", 2):
        raise ZeroDivisionError
    assert places.free == 4
