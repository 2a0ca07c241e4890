from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from api.concurrency.turns import Caller, Turns
from saft_core.errors import Busy, Unavailable


def later() -> float:
    return time.monotonic() + 30


def caller(turns: Turns, share: str) -> Caller:
    """A request that has its turn."""
    assert turns.enqueue(share).turn.done()
    return Caller(share, turns)


def test_alone_a_share_has_all_turns_and_beside_another_never_the_last() -> None:
    turns = Turns(3)
    alone = [turns.enqueue("a") for _ in range(4)]
    assert [wait.turn.done() for wait in alone] == [True, True, True, False]
    other = turns.enqueue("b")
    turns.release("a")
    assert other.turn.done()
    assert not alone[3].turn.done()
    turns.release("b")
    assert not alone[3].turn.done()  # b may come again
    turns.release("a")
    assert alone[3].turn.done()


def test_there_is_always_one_turn() -> None:
    turns = Turns(1)
    first, second, third = turns.enqueue("a"), turns.enqueue("a"), turns.enqueue("b")
    assert first.turn.done()
    turns.release("a")
    assert third.turn.done()
    turns.release("b")
    assert second.turn.done()


def test_who_leaves_the_line_takes_no_turn_and_who_has_one_gives_it_back() -> None:
    turns = Turns(1)
    first, second, third = (turns.enqueue("a") for _ in range(3))
    turns.leave(second)
    assert turns.waiting == 1
    turns.leave(first)
    assert third.turn.done()
    turns.leave(third)
    assert (turns.held, turns.waiting) == (0, 0)


def test_a_request_rests_once_however_often_it_says_so() -> None:
    turns = Turns(2)
    one = caller(turns, "a")
    one.rest()
    one.rest()
    assert turns.held == 0
    one.compute(later())
    one.compute(later())
    assert turns.held == 1


def test_between_two_pictures_others_have_their_turn_and_ones_own_tenant_waits() -> None:
    turns = Turns(1)
    busy = caller(turns, "a")
    own = turns.enqueue("a")
    busy.compute(later())
    assert not own.turn.done()
    other = turns.enqueue("b")
    with ThreadPoolExecutor(1) as pool:
        going_on = pool.submit(busy.compute, later())
        other.turn.result(30)
        turns.release("b")
        own.turn.result(30)
        assert not going_on.done()
        turns.release("a")
        going_on.result(30)
    assert turns.held == 1


def test_without_a_turn_by_the_deadline_it_is_busy_and_nothing_is_left_in_line() -> None:
    turns = Turns(1)
    caller(turns, "a")
    waiting = Caller("b", turns)
    turns.leave(turns.enqueue("b"))
    waiting._has_turn = False
    with pytest.raises(Busy, match="cores"):
        waiting.compute(time.monotonic())
    assert (turns.held, turns.waiting) == (1, 0)


def test_never_more_turns_than_there_are_and_all_come_to_theirs() -> None:
    turns, lock = Turns(3), threading.Lock()
    now = most = done = 0

    def compute(number: int) -> None:
        nonlocal now, most, done
        wait = turns.enqueue(str(number % 5))
        wait.turn.result(30)
        one = Caller(wait.share, turns)
        for _ in range(3):
            one.compute(later())
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0)
            with lock:
                now, done = now - 1, done + 1
            if number % 2:
                one.rest()
        one.rest()

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(compute, range(400)))
    assert done == 1200
    assert most <= 3
    assert (turns.held, turns.waiting) == (0, 0)


def test_a_request_that_is_closed_takes_no_turn_any_more() -> None:
    turns = Turns(1)
    one = caller(turns, "a")
    one.close()
    assert turns.held == 0
    with pytest.raises(Unavailable):
        one.compute(later())
    assert turns.held == 0


def test_who_is_gone_is_forgotten() -> None:
    turns = Turns(2)
    for number in range(100):
        caller(turns, str(number)).close()
    assert not turns._held


def test_a_turn_that_is_waited_for_in_the_loop_comes_and_goes() -> None:
    turns = Turns(1)
    first = turns.enqueue("a")
    order: list[str] = []

    async def one(share: str) -> None:
        async with turns.acquired(share):
            order.append(share)

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            for number, share in enumerate("ab", 1):
                tasks.start_soon(one, share)
                while turns.waiting < number:
                    await anyio.sleep(0.001)
            assert order == []
            turns.leave(first)

    anyio.run(both)
    assert order == ["b", "a"]
    assert (turns.held, turns.waiting) == (0, 0)


def test_who_is_cancelled_in_the_line_leaves_it() -> None:
    turns = Turns(1)
    first = turns.enqueue("a")

    async def impatient() -> None:
        with anyio.move_on_after(0.01):
            async with turns.acquired("b"):
                raise AssertionError("there is no turn")

    anyio.run(impatient)
    assert (turns.held, turns.waiting) == (1, 0)
    turns.leave(first)
