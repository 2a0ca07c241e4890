from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from saft_core.errors import DeadlinePassed
from saft_core.serving.cache import ByteBoundedCache


def cache(capacity_bytes: int) -> ByteBoundedCache[str, bytes]:
    return ByteBoundedCache(capacity_bytes, len)


def test_a_value_is_loaded_once() -> None:
    held = cache(10)
    assert held.get("a", lambda: b"1234") == b"1234"
    assert held.get("a", lambda: pytest.fail("loaded twice")) == b"1234"
    assert (held.counters.loads, held.counters.hits, held.counters.bytes) == (1, 1, 4)


def test_the_least_recently_used_value_goes_first() -> None:
    held = cache(10)
    held.get("a", lambda: b"1234")
    held.get("b", lambda: b"1234")
    held.get("a", lambda: b"")
    held.get("c", lambda: b"1234")
    assert held.get("a", lambda: b"again") == b"1234"
    assert held.get("b", lambda: b"new") == b"new"
    assert held.counters.evictions == 2
    assert held.counters.bytes <= 10


def test_a_value_too_large_to_keep_is_still_handed_out() -> None:
    held = cache(3)
    held.get("small", lambda: b"123")
    assert held.get("big", lambda: b"12345") == b"12345"
    assert held.get("small", lambda: pytest.fail("was evicted")) == b"123"


def test_callers_of_one_key_share_one_load() -> None:
    held = cache(10)
    loads, gate = [], threading.Event()

    def load() -> bytes:
        loads.append(1)
        gate.wait(10)
        return b"12"

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(held.get, "a", load) for _ in range(8)]
        gate.set()
        assert [answer.result() for answer in answers] == [b"12"] * 8
    assert len(loads) == 1


def test_a_failed_load_fails_its_callers_and_is_tried_again() -> None:
    held = cache(10)

    def fail() -> bytes:
        raise KeyError("gone")

    with pytest.raises(KeyError):
        held.get("a", fail)
    assert held.get("a", lambda: b"1") == b"1"


def test_each_caller_has_its_own_deadline_and_a_load_that_one_gave_up_on_goes_on_for_the_others() -> None:
    held, gate, loads = cache(10), threading.Event(), []

    def load() -> bytes:
        loads.append(1)
        assert gate.wait(60)
        return b"12"

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(DeadlinePassed):
            held.get("a", load, time.monotonic() + 0.05)
        patient = pool.submit(held.get, "a", load, time.monotonic() + 60)
        with pytest.raises(DeadlinePassed):
            held.get("a", load, time.monotonic() + 0.05)
        assert not patient.done()
        gate.set()
        assert patient.result(60) == b"12"
    assert len(loads) == 1
    assert held.get("a", lambda: pytest.fail("loaded twice")) == b"12"


def test_a_load_that_ran_out_of_its_own_time_is_tried_again_for_who_has_more() -> None:
    held = cache(10)
    answers: Iterator[DeadlinePassed | bytes] = iter([DeadlinePassed(), b"12"])

    def load() -> bytes:
        answer = next(answers)
        if isinstance(answer, DeadlinePassed):
            raise answer
        return answer

    assert held.get("a", load, time.monotonic() + 60) == b"12"


def test_an_error_of_the_load_itself_is_no_deadline() -> None:
    def fail() -> bytes:
        raise TimeoutError("the store")

    with pytest.raises(TimeoutError, match="the store"):
        cache(10).get("a", fail, time.monotonic() + 60)
