"""Requests of many threads, gathered into batches for the one thread that owns the model."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from saft_core.errors import Busy, DeadlinePassed, Unavailable
from saft_core.serving.shares import NOBODY, FairQueue, has_room

logger = logging.getLogger(__name__)

STOPPING = "the service is stopping; try again in a moment"

Payload = TypeVar("Payload")
Answer = TypeVar("Answer")


@dataclass(eq=False)
class Work(Generic[Payload, Answer]):
    """One piece of work: `rows` rows of a batch of its `kind`; only works of one kind share a batch.

    deadline: on `time.monotonic()`'s clock, in seconds; work that still waits then is failed and not done.
    share:    whose it is; shares take turns.
    """

    kind: str
    rows: int
    payload: Payload
    deadline: float
    share: str = NOBODY
    future: Future[Answer] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class BatchLimits:
    """When a batch is closed, and how much may wait.

    max_rows:     rows of one batch; work of more rows must be split by the caller.
    wait_seconds: how long a batch that is not full waits for work which is announced and not yet there.
    queue_rows:   rows that may wait; more are refused with Busy, and so are those of a share that has as many as are
                  free.
    """

    max_rows: int = 32
    wait_seconds: float = 0.005
    queue_rows: int = 1024


class MicroBatcher(Generic[Payload, Answer]):
    """Runs `run` on batches of work in a thread of its own, started with the first work.

    A batch is formed as soon as the thread is free: under load the next one gathers while the last one runs, and a
    request that comes alone does not wait. Shares get equal time (shares.py); while several ask, passes are short, for
    whoever comes next has to wait for the one under way. Every future is answered or failed, whatever happens: an error
    in a batch is narrowed down to the work that causes it, and an error of the loop itself fails what waits and starts
    it anew.

    run:     gets works of one kind, and gives one answer for each, in order.
    seconds: what works of a kind and so many rows are expected to take.
    joins:   whether a work may join a batch while several shares ask, which should keep it short.
    on_idle: called in the thread, after the answers, when nothing waits and nothing is announced; and again, for as
             long as that holds, if it gives True.
    """

    def __init__(
        self,
        run: Callable[[list[Work[Payload, Answer]]], list[Answer]],
        limits: BatchLimits,
        *,
        seconds: Callable[[str, int], float] = lambda _, rows: rows,
        joins: Callable[[Sequence[Work[Payload, Answer]], Work[Payload, Answer]], bool] = lambda _, __: True,
        on_start: Callable[[], None] = lambda: None,
        on_idle: Callable[[], object] = lambda: None,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._run = run
        self._limits = limits
        self._seconds = seconds
        self._joins = joins
        self._on_start = on_start
        self._on_idle = on_idle
        self._idle = True
        self._observe = observe
        self._queue: FairQueue[Work[Payload, Answer]] = FairQueue()
        self._current: list[Work[Payload, Answer]] = []
        self._changed = threading.Condition()
        self._announced = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None
        self.failures = 0

    @property
    def waiting_rows(self) -> int:
        """Rows that wait now."""
        with self._changed:
            return _rows(self._queue)

    @property
    def busy_seconds(self) -> float:
        """How long the batch, or the idle work, under way has been running; 0 when there is none."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def open(self) -> bool:
        """Whether work is taken, and the thread, once started, is alive."""
        return not self._closed and (self._thread is None or self._thread.is_alive())

    @contextmanager
    def announced(self) -> Iterator[Callable[[], None]]:
        """Tell that work is on its way, so that a batch waits for it; gives the function that says it has come."""
        pending = True

        def come() -> None:
            nonlocal pending
            with self._changed:
                self._announced -= pending
                pending = False
                self._changed.notify_all()

        with self._changed:
            self._announced += 1
        try:
            yield come
        finally:
            come()

    def submit(self, work: Work[Payload, Answer]) -> Work[Payload, Answer]:
        """Queue some work; its future gets the answer. Raises Busy, and Unavailable once closed."""
        self.submit_all([work])
        return work

    def submit_all(self, works: Sequence[Work[Payload, Answer]]) -> None:
        """Queue works of one share, all of them or none: no batch begins between them."""
        with self._changed:
            if self._closed:
                raise Unavailable(STOPPING)
            self._check_room(works[0].share, _rows(works))
            for work in works:
                self._queue.add(work.share, work)
            self._wake()

    def _check_room(self, share: str, rows: int) -> None:
        own, waiting, total = _rows(self._queue.line(share)), _rows(self._queue), self._limits.queue_rows
        if self._queue and not has_room(own, waiting, total, rows):
            raise Busy(
                f"{own} images and texts of yours wait already, and {waiting} in all; the limit queue_images is"
                f" {total}, of which nobody takes more than are free; try again in a moment",
                waiting=waiting,
            )

    def rest(self) -> None:
        """Have `on_idle` called, as after an answer."""
        with self._changed:
            self._idle = False
            if not self._closed:
                self._wake()

    def close(self, drain_seconds: float = 0.0) -> None:
        """Take no more work, finish what waits for up to `drain_seconds`, and fail the rest."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(drain_seconds)
        with self._changed:
            self._fail(self._queue, Unavailable(STOPPING))
            self._queue.clear()
        if self._thread is not None and self._thread.is_alive():
            self._fail(self._current, Unavailable(STOPPING))

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._main, name="saft-engine", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _main(self) -> None:
        while True:
            try:
                self._on_start()
                self._loop()
                return
            except BaseException:
                logger.exception("the engine's loop failed; what waits is failed and the loop starts anew")
                with self._changed:
                    self.failures += 1
                    self._fail([*self._current, *self._queue], Unavailable("the engine failed; try again"))
                    self._queue.clear()
                    self._current, self._busy_since = [], None
                    if self._closed:
                        return

    def _loop(self) -> None:
        while (batch := self._next()) is not None:
            self._current, self._busy_since = batch, time.monotonic()
            self._observe(_rows(batch))
            self._answer(batch)
            self._current, self._busy_since = [], None

    def _next(self) -> list[Work[Payload, Answer]] | None:
        """The next batch, waited for; None when closed and empty."""
        while True:
            with self._changed:
                self._drop_late()
                if self._queue and not self._worth_waiting():
                    self._idle = False
                    return self._take()
                expects = self._queue or (self._announced and not self._closed)
                rests = not (expects or self._idle)
                if not rests:
                    if self._closed and not self._queue:
                        return None
                    self._changed.wait(self._limits.wait_seconds if self._queue else None)
            if rests:
                self._idle, self._busy_since = True, time.monotonic()
                if self._on_idle() is True and not self._closed:
                    self._idle = False
                self._busy_since = None

    def _worth_waiting(self) -> bool:
        waited = time.monotonic() - min(work.arrived for work in self._queue)
        full = _rows(self._queue) >= self._limits.max_rows or not self._queue.is_alone()
        return not full and not self._closed and self._announced > 0 and waited < self._limits.wait_seconds

    def _drop_late(self) -> None:
        now = time.monotonic()
        late = [work for work in self._queue if work.deadline <= now or work.future.cancelled()]
        for work in late:
            self._queue.remove(work.share, work)
        self._fail(late, DeadlinePassed())

    def _take(self) -> list[Work[Payload, Answer]]:
        """The next work, and of its kind what comes next and fits with it."""
        batch: list[Work[Payload, Answer]] = []
        work = self._queue.take(self._cost)
        while work is not None:
            if work.future.set_running_or_notify_cancel():
                batch.append(work)
            work = self._queue.take(self._cost, partial(_is_of, work.kind), partial(self._fits, batch))
        return batch

    def _cost(self, work: Work[Payload, Answer]) -> float:
        return self._seconds(work.kind, work.rows)

    def _fits(self, batch: list[Work[Payload, Answer]], work: Work[Payload, Answer]) -> bool:
        if _rows(batch) + work.rows > self._limits.max_rows:
            return False
        return not batch or self._queue.is_alone() or self._joins(batch, work)

    def _answer(self, batch: list[Work[Payload, Answer]]) -> None:
        try:
            answers = self._run(batch) if batch else []
        except Exception as error:
            if len(batch) == 1:
                self._fail(batch, error)
            else:
                logger.warning("a batch of %d failed; each is tried alone", len(batch), exc_info=True)
                for work in batch:
                    self._answer([work])
            return
        for work, answer in zip(batch, answers, strict=True):
            if not work.future.done():
                work.future.set_result(answer)

    @staticmethod
    def _fail(works: Iterable[Work[Payload, Answer]], error: Exception) -> None:
        for work in works:
            if not work.future.done():
                work.future.set_exception(error)


def _rows(works: Iterable[Work[Payload, Answer]]) -> int:
    return sum(work.rows for work in works)


def _is_of(kind: str, work: Work[Payload, Answer]) -> bool:
    return work.kind == kind
