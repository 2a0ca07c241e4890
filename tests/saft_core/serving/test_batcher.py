from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from saft_core.errors import Busy, DeadlinePassed, Unavailable
from saft_core.serving.batcher import BatchLimits, MicroBatcher, Work


def work(payload: int, rows: int = 1, kind: str = "image", seconds: float = 30) -> Work[int, int]:
    return Work(kind, rows, payload, time.monotonic() + seconds)


class Runner:
    """Doubles numbers, behind a gate; -1 is an error and -2 the end of the thread."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, batch: list[Work[int, int]]) -> list[int]:
        self.started.set()
        assert self.gate.wait(30)
        payloads = [item.payload for item in batch]
        self.batches.append(payloads)
        if -2 in payloads:
            raise SystemExit
        if -1 in payloads:
            raise ValueError("bad work")
        return [2 * payload for payload in payloads]


def test_what_waits_is_gathered_by_kind_up_to_the_limit_and_in_order() -> None:
    run = Runner()
    batcher = MicroBatcher(run, BatchLimits(max_rows=3))
    first = batcher.submit(work(0))
    assert run.started.wait(30)
    later = [batcher.submit(work(n, kind="text" if n == 2 else "image")) for n in range(1, 6)]
    run.gate.set()
    assert [item.future.result(30) for item in (first, *later)] == [0, 2, 4, 6, 8, 10]
    assert run.batches == [[0], [1, 3, 4], [2], [5]]
    batcher.close(30)


def test_an_error_reaches_only_the_work_that_causes_it() -> None:
    run = Runner()
    batcher = MicroBatcher(run, BatchLimits())
    items = [batcher.submit(work(0))]
    assert run.started.wait(30)
    items += [batcher.submit(work(n)) for n in (1, -1, 2)]
    run.gate.set()
    with pytest.raises(ValueError, match="bad work"):
        items[2].future.result(30)
    assert [items[n].future.result(30) for n in (0, 1, 3)] == [0, 2, 4]
    batcher.close(30)


def test_the_end_of_the_loop_fails_what_waits_and_the_next_work_is_answered() -> None:
    run = Runner()
    batcher = MicroBatcher(run, BatchLimits(max_rows=1))
    dying = batcher.submit(work(-2))
    assert run.started.wait(30)
    waiting = batcher.submit(work(1))
    run.gate.set()
    for item in (dying, waiting):
        with pytest.raises(Unavailable):
            item.future.result(30)
    assert batcher.submit(work(3)).future.result(30) == 6
    assert batcher.failures == 1
    batcher.close(30)


def test_a_full_queue_refuses_and_late_work_is_not_done() -> None:
    run = Runner()
    batcher = MicroBatcher(run, BatchLimits(max_rows=4, queue_rows=4))
    first = batcher.submit(work(0))
    assert run.started.wait(30)
    late = batcher.submit(work(1, rows=2, seconds=-1))
    with pytest.raises(Busy, match="queue_images"):
        batcher.submit(work(2, rows=3))
    run.gate.set()
    with pytest.raises(DeadlinePassed):
        late.future.result(30)
    assert first.future.result(30) == 0
    assert run.batches == [[0]]
    batcher.close(30)


def test_closing_answers_what_waits_and_takes_no_more() -> None:
    run = Runner()
    run.gate.set()
    batcher = MicroBatcher(run, BatchLimits())
    item = batcher.submit(work(4))
    batcher.close(30)
    assert item.future.result(0) == 8
    assert not batcher.open
    with pytest.raises(Unavailable):
        batcher.submit(work(5))


def test_closing_without_time_fails_what_waits() -> None:
    run = Runner()
    batcher = MicroBatcher(run, BatchLimits(max_rows=1))
    items = [batcher.submit(work(n)) for n in range(3)]
    assert run.started.wait(30)
    batcher.close(0)
    for item in items:
        with pytest.raises(Unavailable):
            item.future.result(30)
    run.gate.set()


def test_the_last_answer_is_followed_by_the_idle_work_once() -> None:
    run, idle = Runner(), threading.Semaphore(0)
    run.gate.set()
    batcher = MicroBatcher(run, BatchLimits(), on_idle=idle.release)
    for number in range(2):
        assert batcher.submit(work(number)).future.result(30) == 2 * number
        assert idle.acquire(timeout=30)
    batcher.close(30)
    assert not idle.acquire(blocking=False)


def test_the_idle_work_waits_for_what_is_announced() -> None:
    run, idle = Runner(), threading.Semaphore(0)
    batcher = MicroBatcher(run, BatchLimits(), on_idle=idle.release)
    first = batcher.submit(work(0))
    assert run.started.wait(30)
    with batcher.announced() as come:
        run.gate.set()
        assert first.future.result(30) == 0
        assert not idle.acquire(timeout=0.05)
        come()
        assert idle.acquire(timeout=30)
    batcher.close(30)


def test_the_idle_work_is_done_before_the_end_even_if_more_was_announced() -> None:
    run, idle = Runner(), threading.Semaphore(0)
    batcher = MicroBatcher(run, BatchLimits(), on_idle=idle.release)
    first = batcher.submit(work(0))
    assert run.started.wait(30)
    with batcher.announced():
        run.gate.set()
        assert first.future.result(30) == 0
        batcher.close(30)
        assert idle.acquire(blocking=False)


def test_idle_work_goes_on_without_work_and_stands_back_for_it() -> None:
    run, left = Runner(), threading.Semaphore(0)
    run.gate.set()
    done: list[str] = []

    def idle() -> bool:
        done.append("idle")
        left.acquire(timeout=30)
        return len(done) < 4

    def answer(batch: list[Work[int, int]]) -> list[int]:
        done.append("answer")
        return run(batch)

    batcher = MicroBatcher(answer, BatchLimits(), on_idle=idle)
    batcher.rest()
    while not done:
        time.sleep(0.001)
    item = batcher.submit(work(1))
    assert not item.future.done()
    assert 0 < batcher.busy_seconds < 30
    left.release(3)
    assert item.future.result(30) == 2
    while len(done) < 4:
        time.sleep(0.001)
    batcher.close(30)
    assert done == ["idle", "answer", "idle", "idle"]


def test_closing_does_not_wait_for_all_idle_work() -> None:
    done = threading.Semaphore(0)

    def idle() -> bool:
        done.release()
        return True

    batcher = MicroBatcher(Runner(), BatchLimits(), on_idle=idle)
    batcher.rest()
    assert done.acquire(timeout=30)
    batcher.close(30)
    while done.acquire(blocking=False):
        pass
    batcher.rest()  # of no effect any more
    assert not done.acquire(timeout=0.05)


# --- shares ----------------------------------------------------------------------------------------------------------


def held(run: Runner, **options: Any) -> MicroBatcher[int, int]:
    """A batcher whose first batch, -9 of nobody's, is under way until the gate opens."""
    batcher = MicroBatcher(run, BatchLimits(max_rows=32, queue_rows=4096), **options)
    batcher.submit(work(-9))
    assert run.started.wait(30)
    return batcher


def up_to(rows: int) -> Callable[[Sequence[Work[int, int]], Work[int, int]], bool]:
    """Passes that are short have so many rows."""
    return lambda batch, work: sum(one.rows for one in batch) + work.rows <= rows


def of(share: str, *payloads: int) -> list[Work[int, int]]:
    return [replace(work(payload), share=share) for payload in payloads]


def test_who_comes_beside_a_flood_is_in_the_next_pass_and_the_pass_is_short() -> None:
    run = Runner()
    batcher = held(run, joins=up_to(4))
    flood, quiet = of("a", *range(64)), of("b", 1000)
    batcher.submit_all(flood)
    batcher.submit_all(quiet)
    run.gate.set()
    assert [item.future.result(30) for item in (*flood, *quiet)] == [*range(0, 128, 2), 2000]
    assert sorted(run.batches[1]) == [0, 1, 2, 1000]
    assert max(map(len, run.batches)) == 4
    assert [payload for batch in run.batches for payload in batch if 0 <= payload < 64] == list(range(64))
    batcher.close(30)


def test_a_lone_share_has_full_passes() -> None:
    run = Runner()
    batcher = MicroBatcher(run, BatchLimits(max_rows=32), joins=up_to(4))
    batcher.submit_all(of("a", -9))
    assert run.started.wait(30)
    flood = of("a", *range(64))
    batcher.submit_all(flood)
    run.gate.set()
    assert [item.future.result(30) for item in flood] == list(range(0, 128, 2))
    assert list(map(len, run.batches)) == [1, 32, 32]
    batcher.close(30)


def test_shares_get_equal_time_and_not_equally_many_rows() -> None:
    run = Runner()
    batcher = held(run, seconds=lambda kind, rows: rows * (8.0 if kind == "image" else 1.0), joins=up_to(1))
    images = of("a", *range(100))
    texts = [replace(item, kind="text") for item in of("b", *range(100, 200))]
    batcher.submit_all(images)
    batcher.submit_all(texts)
    run.gate.set()
    for item in (*images, *texts):
        item.future.result(30)
    until_texts_end = run.batches[: run.batches.index([199])]
    assert 12 <= sum(payload < 100 for (payload,) in until_texts_end[1:]) <= 14
    batcher.close(30)


def test_a_share_that_fills_the_queue_is_refused_and_another_is_not() -> None:
    run = Runner()
    batcher = MicroBatcher(run, BatchLimits(max_rows=4, queue_rows=8))
    batcher.submit(work(0))
    assert run.started.wait(30)
    taken = of("a", 1, 2, 3, 4)
    batcher.submit_all(taken)
    with pytest.raises(Busy, match="queue_images"):
        batcher.submit_all(of("a", 5))
    taken += of("b", 6, 7)
    batcher.submit_all(taken[4:])
    with pytest.raises(Busy, match="queue_images"):
        batcher.submit_all(of("c", 8, 9, 10))  # all of them or none
    assert batcher.waiting_rows == 6
    run.gate.set()
    assert [item.future.result(30) for item in taken] == [2, 4, 6, 8, 12, 14]
    batcher.close(30)


def test_works_that_are_given_up_are_not_done_and_their_room_is_free() -> None:
    run = Runner()
    batcher = MicroBatcher(run, BatchLimits(max_rows=4, queue_rows=8))
    batcher.submit(work(0))
    assert run.started.wait(30)
    given_up, kept = of("a", 1, 2, 3), of("a", 4)
    batcher.submit_all([*given_up, *kept])
    assert all(item.future.cancel() for item in given_up)
    run.gate.set()
    assert kept[0].future.result(30) == 8
    assert run.batches == [[0], [4]]
    assert batcher.waiting_rows == 0
    batcher.close(30)


def test_all_works_of_many_shares_are_answered_whoever_floods() -> None:
    run = Runner()
    run.gate.set()
    batcher = MicroBatcher(run, BatchLimits(max_rows=32, queue_rows=1 << 20), joins=up_to(3))

    def ask(share: int) -> list[int]:
        works = []
        for number in range(250):
            works += of(str(share), share * 1000 + number)
            batcher.submit_all(works[-1:])
            if share and number % 10 == 0:  # the first one floods, the others wait for answers now and then
                works[-1].future.result(30)
        return [item.future.result(30) for item in works]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    batcher.close(30)
    assert answers == [[2 * (share * 1000 + number) for number in range(250)] for share in range(8)]
    done = [payload for batch in run.batches for payload in batch]
    assert len(done) == 2000
    for share in range(8):
        own = [payload for payload in done if payload // 1000 == share]
        assert own == sorted(own)
