"""Turns at the cores: requests that read, decode and prepare at once, in turns of their shares."""

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
    """A place in the line; `turn` is done once it has come."""

    share: str
    turn: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.turn.set_running_or_notify_cancel()  # only `Turns.leave` ends a wait


class Turns:
    """`count` turns, and a line of each share for them. While others ask too, a share never has the last one.

    What is waited for meanwhile, such as a pass of the engine, should be waited for without a turn.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._queue: FairQueue[Wait] = FairQueue()
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Who stands in line."""
        with self._lock:
            return len(self._queue)

    @property
    def held(self) -> int:
        """Turns that are taken."""
        with self._lock:
            return self._held.total()

    def line_up(self, share: str) -> Wait:
        """Stand at the end of the share's line."""
        wait = Wait(share)
        with self._lock:
            self._queue.add(share, wait)
            self._hand_out()
        return wait

    def leave(self, wait: Wait) -> None:
        """Leave the line, or return the turn if it has come."""
        with self._lock:
            if wait.turn.done():
                self._return(wait.share)
            else:
                self._queue.remove(wait.share, wait)

    def block(self, share: str, deadline: float) -> None:
        """Have a turn, waited for in this thread. Raises Busy when there was none by then."""
        wait = self.line_up(share)
        try:
            wait.turn.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            self.leave(wait)
            raise Busy("the cores are taken by requests that came before; try again in a moment") from None

    def give_back(self, share: str) -> None:
        """Return a turn."""
        with self._lock:
            self._return(share)

    def _return(self, share: str) -> None:
        self._held[share] -= 1
        if not self._held[share]:
            del self._held[share]
        self._hand_out()

    @asynccontextmanager
    async def held_by(self, share: str) -> AsyncIterator[None]:
        """A turn for as long as the context is open, waited for in the event loop."""
        wait = self.line_up(share)
        try:
            await asyncio.wrap_future(wait.turn)
            yield
        finally:
            self.leave(wait)

    def is_wanted(self, share: str) -> bool:
        """Whether somebody else waits than this share."""
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
    """A request: it has a turn from its start, gives it up whenever it waits, and takes one to go on.

    Once it is closed it takes none, even if its thread goes on: that of a request which was cancelled may.
    """

    def __init__(self, share: str, turns: Turns) -> None:
        super().__init__(share)
        self._turns = turns
        self._has_turn, self._closed = True, False
        self._lock = threading.Lock()

    def compute(self, deadline: float) -> None:
        """Have a turn; one that it has already is offered to others who wait."""
        if self._has_turn and not self._turns.is_wanted(self.share):
            return
        self.rest()
        self._turns.block(self.share, deadline)
        with self._lock:
            self._has_turn = not self._closed
        if self._closed:
            self._turns.give_back(self.share)
            raise Unavailable("nobody waits for the answer any more")

    def rest(self) -> None:
        """Have none."""
        with self._lock:  # a load that works for the request may say it too
            had, self._has_turn = self._has_turn, False
        if had:
            self._turns.give_back(self.share)

    def close(self) -> None:
        """Have none, and take none any more."""
        with self._lock:
            self._closed = True
        self.rest()
