from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from saft_core.data.semaphore import WeightedSemaphore
from saft_core.errors import Busy


def later(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def test_what_is_reserved_is_given_back_whatever_happens() -> None:
    budget = WeightedSemaphore(10, "some_limit")
    with budget.reserved(4, later()), budget.reserved(6, later()):
        assert budget.free == 0
    with pytest.raises(KeyError), budget.reserved(4, later()):
        raise KeyError
    assert budget.free == 10


def test_without_room_until_the_deadline_it_is_busy_and_names_the_limit() -> None:
    budget = WeightedSemaphore(1_000, "some_limit")
    with budget.reserved(995, later()):
        with pytest.raises(Busy, match=r"some_limit \(1,000\)"), budget.reserved(6, deadline=0):
            raise AssertionError
        with budget.reserved(5, deadline=0):  # what fits goes on, past whoever waits
            assert budget.free == 0
    assert budget.free == 1_000


def test_what_is_larger_than_all_of_it_goes_alone() -> None:
    budget = WeightedSemaphore(10, "some_limit")
    with budget.reserved(999, later()):
        assert budget.free == 0
    assert budget.free == 10


def test_whoever_waits_goes_on_when_there_is_room() -> None:
    budget = WeightedSemaphore(10, "some_limit")
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with budget.reserved(10, later()):
            entered.set()
            assert leave.wait(60)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert entered.wait(60)
        threading.Timer(0.05, leave.set).start()
        with budget.reserved(7, later()):
            assert holding.done() or budget.free == 3
    assert budget.free == 10


def test_never_more_than_all_of_it_is_held_at_once() -> None:
    budget, lock, held, most = WeightedSemaphore(10, "some_limit"), threading.Lock(), 0, 0

    def work(number: int) -> None:
        nonlocal held, most
        units = 1 + number % 7
        with budget.reserved(units, later()):
            with lock:
                held += units
                most = max(most, held)
            time.sleep(0.0001)
            with lock:
                held -= units

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(500)))
    assert 1 < most <= 10
    assert budget.free == 10
