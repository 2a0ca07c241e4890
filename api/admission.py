"""How many inference requests are worked on at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from saft_core.errors import Busy

Answer = TypeVar("Answer")


class Admission:
    """Threads for inference, apart from those of the other routes, which stay quick however much is classified.

    A request beyond the limit is refused at once: waiting here would only hide that the service is too small.
    """

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._limiter = CapacityLimiter(requests)

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """`work()` in a thread. Raises Busy."""
        if self._limiter.available_tokens < 1:
            raise Busy(
                f"{self._requests} requests are under way, which is the limit inference_requests; try again in a moment"
            )
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)
