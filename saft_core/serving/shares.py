"""Whose turn it is: shares of the engine, and of what else requests stand in line for.

What a share stands for is the caller's business: a tenant, a user, a job of the night. Every share that asks for
anything gets as much as every other that does; who asks for less than that waits for nobody's surplus.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Generic, TypeVar

NOBODY = ""
"""The share of what the service does for itself, which waits for nothing."""
LATELY_SECONDS = 5.0
"""So long after it asked for something a share is expected to ask again."""
Item = TypeVar("Item")


class Client:
    """Who asks for something: the name of the share, and what to do when the asking thread waits or goes on."""

    def __init__(self, share: str = NOBODY) -> None:
        self.share = share

    def compute(self, deadline: float) -> None:
        """The thread is about to keep a core busy; may wait until `deadline`. Raises Busy."""

    def rest(self) -> None:
        """The thread is about to wait for something else."""


CLIENT: ContextVar[Client] = ContextVar("client", default=Client())  # noqa: B039 (this one holds nothing)
"""Who asks in this thread, and in those that work for it."""


def has_room(own: int, taken: int, total: int, units: int = 1) -> bool:
    """Whether a share that has `own` of the `taken` units may have more: in the end no more than were free before.

    One share alone gets half, two get a third each, k get 1 / (k + 1): some are always left for one that comes anew.
    Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (1998), with alpha = 1.
    """
    return own + units <= total - taken


class FairQueue(Generic[Item]):
    """Items of several shares: first comes the share that was given least, and of its items the one that came first.

    What a share was given counts from when it began to ask: nobody saves up turns while he is away. This is start-time
    fair queueing (Goyal, Vin and Cheng, 1996). Not thread-safe.
    """

    def __init__(self) -> None:
        self._lines: dict[str, list[Item]] = {}  # among equals the first one is next
        self._given: dict[str, float] = {}
        self._level = 0.0
        self._asked: dict[str, float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[Item]:
        for line in self._lines.values():
            yield from line

    def line(self, share: str) -> list[Item]:
        """What waits of a share."""
        return self._lines.get(share, [])

    def add(self, share: str, item: Item) -> None:
        """Put an item at the end of its share's line."""
        self._asked[share] = time.monotonic()
        if share not in self._lines:
            self._forget()
            self._lines[share] = []
            self._given[share] = max(self._given.get(share, 0.0), self._level)
        self._lines[share].append(item)

    def take(
        self,
        cost: Callable[[Item], float],
        among: Callable[[Item], bool] = lambda _: True,
        fits: Callable[[Item], bool] = lambda _: True,
    ) -> Item | None:
        """The next item, out of its line; None if there is none. `cost` is what its share is then given.

        among: which items are looked at. fits: whether the first of them in a line is taken; else its share is passed.
        """
        shares = sorted(self._lines, key=self._given.__getitem__)
        for share in shares:
            item = next((item for item in self._lines[share] if among(item)), None)
            if item is not None and fits(item):
                self._level = max(self._level, self._given[shares[0]])
                self._given[share] += cost(item)
                self.remove(share, item)
                if line := self._lines.pop(share, None):
                    self._lines[share] = line
                return item
        return None

    def remove(self, share: str, item: Item) -> None:
        """Take an item out of its line."""
        self._lines[share].remove(item)
        if not self._lines[share]:
            del self._lines[share]

    def clear(self) -> None:
        """Remove all items."""
        self._lines.clear()

    def is_alone(self, share: str | None = None) -> bool:
        """Whether nobody else asked lately; without a share, whether no more than one did. NOBODY does not count."""
        since = time.monotonic() - LATELY_SECONDS
        others = {other for other, asked in self._asked.items() if asked > since} | self._lines.keys()
        return len(others - {share, NOBODY}) <= (share is None)

    def _forget(self) -> None:
        """Keep only what those were given who asked lately, or who wait."""
        since = time.monotonic() - LATELY_SECONDS
        self._asked = {s: asked for s, asked in self._asked.items() if asked > since or s in self._lines}
        self._given = {share: self._given.get(share, 0.0) for share in self._asked}
