from __future__ import annotations

from collections import Counter

import pytest

from saft_core.serving import shares
from saft_core.serving.shares import NOBODY, FairQueue, has_room


def queue_of(**lines: int) -> FairQueue[str]:
    """So many items of each share: "a0", "a1", ..."""
    queue: FairQueue[str] = FairQueue()
    for share, count in lines.items():
        for number in range(count):
            queue.add(share, f"{share}{number}")
    return queue


def taken(queue: FairQueue[str], count: int, **costs: float) -> list[str]:
    items = [queue.take(lambda item: costs.get(item[0], 1.0)) for _ in range(count)]
    return [item for item in items if item is not None]


def test_shares_take_turns_and_each_is_first_come_first_served() -> None:
    queue = queue_of(a=4, b=2, c=1)
    assert taken(queue, 99) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]
    assert len(queue) == 0


def test_who_comes_beside_a_long_line_is_next() -> None:
    queue = queue_of(a=64)
    taken(queue, 10)
    for number in range(5):
        queue.add("b", f"b{number}")
        assert taken(queue, 2) == [f"b{number}", f"a{10 + number}"]


def test_a_share_gets_as_much_as_another_however_large_its_items_are() -> None:
    queue = queue_of(a=100, b=100)
    given = Counter(item[0] for item in taken(queue, 60, a=5.0, b=1.0))
    assert given == {"a": 10, "b": 50}


def test_nobody_saves_up_turns_while_he_is_away() -> None:
    queue = queue_of(a=100)
    taken(queue, 50)
    for number in range(10):
        queue.add("b", f"b{number}")
    given = Counter(item[0] for item in taken(queue, 10))
    assert given == {"a": 5, "b": 5}


def test_a_debt_is_not_lost_by_coming_again() -> None:
    queue = queue_of(a=10, b=1)
    assert taken(queue, 2, b=4.0) == ["a0", "b0"]
    queue.add("b", "b1")
    queue.add("c", "c0")
    assert taken(queue, 5) == ["c0", "a1", "a2", "a3", "b1"]


def test_what_is_not_wanted_stays_in_its_place() -> None:
    queue = queue_of(a=3, b=1)
    assert queue.take(lambda _: 1.0, lambda item: item == "a2") == "a2"
    assert queue.take(lambda _: 1.0, lambda item: item == "x") is None
    assert queue.take(lambda _: 1.0, fits=lambda item: item == "a1") is None
    queue.remove("a", "a0")
    assert taken(queue, 9) == ["b0", "a1"]


def test_who_asked_lately_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = queue_of(a=2)
    queue.add(NOBODY, "0")
    assert queue.is_alone()
    assert queue.is_alone("a")
    assert not queue.is_alone("b")
    queue.add("b", "b0")
    taken(queue, 4)
    assert not queue.is_alone()
    assert not queue.is_alone("a")
    monkeypatch.setattr(shares, "LATELY_SECONDS", -1.0)
    assert queue.is_alone()


def test_thousands_of_shares_that_are_gone_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "LATELY_SECONDS", -1.0)
    queue: FairQueue[str] = FairQueue()
    for number in range(2000):
        queue.add(str(number), "item")
        taken(queue, 1)
    assert len(queue._given) + len(queue._asked) < 10


@pytest.mark.parametrize(("floods", "each"), [(1, 64), (2, 43), (3, 32), (7, 16)])
def test_however_many_flood_some_room_is_left(floods: int, each: int) -> None:
    own = [0] * floods
    for _ in range(128):
        for flood in range(floods):
            own[flood] += has_room(own[flood], sum(own), 128)
    assert max(own) - min(own) <= 1
    assert min(own) == each
    assert has_room(0, sum(own), 128)


def test_all_of_it_can_be_had_at_once_and_no_more() -> None:
    assert has_room(0, 0, 4, 4)
    assert not has_room(0, 0, 4, 5)
    assert not has_room(0, 4, 4)
