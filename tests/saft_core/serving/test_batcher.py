from __future__ import annotations

import threading
import time

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
