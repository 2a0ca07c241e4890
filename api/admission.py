"""How many requests of a kind are worked on at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from saft_core.errors import Busy

Answer = TypeVar("Answer")


class Admission:
    """Places for requests of one kind, and threads apart from those of the other routes, which stay quick.

    A request beyond the limit is refused at once: waiting here would only hide that the service is too small.
    """

    def __init__(self, limit: str, requests: int) -> None:
        self._limit, self._requests = limit, requests
        self._limiter = CapacityLimiter(requests)

    @property
    def under_way(self) -> int:
        """Places that are taken."""
        return self._limiter.borrowed_tokens

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """`work()` in a thread. Raises Busy."""
        self._check_room()
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place without a thread, for as long as the context is open. Raises Busy."""
        self._check_room()
        async with self._limiter:
            yield

    def _check_room(self) -> None:
        if self._limiter.available_tokens < 1:
            raise Busy(
                f"{self._requests} requests are under way, which is the limit {self._limit}; try again in a moment"
            )
