"""A budget of bytes or slots that requests wait a moment for; for coroutines of one event loop."""

from __future__ import annotations

from collections import Counter

import anyio

from saft_core.errors import Busy

WAIT_SECONDS = 2.0
"""Most bodies are through in less; a longer wait would only hide that the service is too small."""


class Budget:
    """A number of bytes, or of another unit, that all requests share. Not thread-safe: for one event loop.

    A caller who holds some already gets half of them at most. name: of the setting that says how many there are.
    """

    def __init__(self, name: str, total: int, unit: str = "bytes") -> None:
        self._name = name
        self._total = total
        self._unit = unit
        self._taken: Counter[str] = Counter()
        self._freed = anyio.Event()

    @property
    def taken(self) -> int:
        """Units in use."""
        return self._taken.total()

    async def acquire(self, caller: str, count: int) -> None:
        """Acquire `count` units, waiting up to WAIT_SECONDS for them. Raises Busy."""
        with anyio.move_on_after(WAIT_SECONDS):
            while not self._fits(caller, count):
                await self._freed.wait()
        if not self._fits(caller, count):
            raise Busy(
                f"the requests under way hold {self.taken:,} of {self._total:,} {self._unit} ({self._name});"
                " try again in a moment"
            )
        self._taken[caller] += count

    def release(self, caller: str, count: int) -> None:
        """Return `count` units."""
        if not count:
            return
        self._taken[caller] -= count
        if not self._taken[caller]:
            del self._taken[caller]
        self._freed.set()
        self._freed = anyio.Event()

    def _fits(self, caller: str, count: int) -> bool:
        own = self._taken[caller]
        return self.taken + count <= self._total and (not own or own + count <= self._total // 2)
