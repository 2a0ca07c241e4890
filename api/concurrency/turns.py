"""Fair turns at the cores: which requests decode and prepare images at the moment, and which tenant is next."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from saft_core.errors import Busy, Unavailable
from saft_core.serving.shares import Client, FairQueue


@dataclass(eq=False)
class Wait:
    """One request in the queue. `turn` is done once it may compute."""

    share: str
    turn: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.turn.set_running_or_notify_cancel()  # only `Turns.leave` ends a wait


class Turns:
    """A fair semaphore of `count` turns with a queue for each share (a tenant). Thread-safe.

    While other shares ask too, one share never has the last turn. Whoever waits for something else meanwhile, such as a
    forward pass of the engine, should release the turn for so long.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._queue: FairQueue[Wait] = FairQueue()
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Requests in the queues."""
        with self._lock:
            return len(self._queue)

    @property
    def held(self) -> int:
        """Turns in use."""
        with self._lock:
            return self._held.total()

    def enqueue(self, share: str) -> Wait:
        """Join the end of the share's queue."""
        wait = Wait(share)
        with self._lock:
            self._queue.add(share, wait)
            self._hand_out()
        return wait

    def leave(self, wait: Wait) -> None:
        """Leave the queue, or release the turn if it has come."""
        with self._lock:
            if wait.turn.done():
                self._return(wait.share)
            else:
                self._queue.remove(wait.share, wait)

    def acquire(self, share: str, deadline: float) -> None:
        """Acquire a turn; blocks this thread until `deadline` (`time.monotonic()`), then raises Busy."""
        wait = self.enqueue(share)
        try:
            wait.turn.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            self.leave(wait)
            raise Busy("the cores are taken by requests that came before; try again in a moment") from None

    def release(self, share: str) -> None:
        """Release a turn of the share."""
        with self._lock:
            self._return(share)

    def _return(self, share: str) -> None:
        self._held[share] -= 1
        if not self._held[share]:
            del self._held[share]
        self._hand_out()

    @asynccontextmanager
    async def acquired(self, share: str) -> AsyncIterator[None]:
        """Hold a turn for as long as the context is open; waits in the event loop, without limit."""
        wait = self.enqueue(share)
        try:
            await asyncio.wrap_future(wait.turn)
            yield
        finally:
            self.leave(wait)

    def is_wanted(self, share: str) -> bool:
        """Whether a request of another share is in a queue."""
        with self._lock:
            return len(self._queue) > len(self._queue.line(share))

    def _hand_out(self) -> None:
        while self._held.total() < self._count:
            wait = self._queue.take(lambda _: 1.0, fits=self._may_have)
            if wait is None:
                return
            self._held[wait.share] += 1
            wait.turn.set_result(None)

    def _may_have(self, wait: Wait) -> bool:
        most = self._count if self._queue.is_alone(wait.share) else max(1, self._count - 1)
        return self._held[wait.share] < most


class Caller(Client):
    """A request with a turn: it releases the turn whenever it waits for the engine, and acquires one to go on.

    Once closed it acquires none, even if its thread goes on, as that of a cancelled request may.
    """

    def __init__(self, share: str, turns: Turns) -> None:
        super().__init__(share)
        self._turns = turns
        self._has_turn, self._closed = True, False
        self._lock = threading.Lock()

    def compute(self, deadline: float) -> None:
        """Acquire a turn; one that it has is passed on first if others wait.

        Raises Busy at the deadline, and Unavailable once closed.
        """
        if self._has_turn and not self._turns.is_wanted(self.share):
            return
        self.rest()
        self._turns.acquire(self.share, deadline)
        with self._lock:
            self._has_turn = not self._closed
        if self._closed:
            self._turns.release(self.share)
            raise Unavailable("nobody waits for the answer any more")

    def rest(self) -> None:
        """Release the turn, if it has one."""
        with self._lock:  # a load that works for the request may say it too
            had, self._has_turn = self._has_turn, False
        if had:
            self._turns.release(self.share)

    def close(self) -> None:
        """Release the turn and acquire none any more."""
        with self._lock:
            self._closed = True
        self.rest()
