from __future__ import annotations

from contextlib import ExitStack

import pytest

from api.concurrency.slots import Slots
from saft_core.errors import Busy


def test_a_share_has_as_many_as_are_free_and_another_still_finds_some() -> None:
    slots = Slots(8, "some_limit")
    with ExitStack() as flood:
        for _ in range(4):
            flood.enter_context(slots.acquired("a"))
        with pytest.raises(Busy, match="some_limit is 8"):
            flood.enter_context(slots.acquired("a"))
        flood.enter_context(slots.acquired("b", 2))
        assert (slots.taken, slots.free) == (6, 2)
        with pytest.raises(Busy), slots.acquired("b"):
            pass
    assert slots.free == 8


def test_more_than_all_is_let_in_alone() -> None:
    slots = Slots(4, "some_limit")
    with slots.acquired("a", 9):
        assert slots.free == 0
        with pytest.raises(Busy), slots.acquired("b"):
            pass
    with slots.acquired("b", 4):
        pass


def test_an_error_within_releases_the_slots() -> None:
    slots = Slots(4, "some_limit")
    with pytest.raises(ZeroDivisionError), slots.acquired("a", 2):
        raise ZeroDivisionError
    assert slots.free == 4
