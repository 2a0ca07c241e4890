"""A weighted semaphore, by which requests share the memory for images that are decoded at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from saft_core.errors import Busy


class WeightedSemaphore:
    """A counter of `units` (bytes or images) from which threads reserve as many as each of them needs.

    A thread whose request fits goes first, so that small images do not wait behind a large one. A request for more than
    all units is let in when nothing else is reserved. To exclude deadlocks, reserve from one semaphore at a time, or
    from several always in the same order. (`threading.Semaphore` hands out one unit at a time.)

    limit: the setting that says how many units there are, for the error's message.
    """

    def __init__(self, units: int, limit: str) -> None:
        self.units = units
        self._limit = limit
        self._free = units
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        """Units that are not reserved."""
        with self._changed:
            return self._free

    @contextmanager
    def reserved(self, units: int, deadline: float) -> Iterator[None]:
        """Hold `units` while the context is open; waits for them until `deadline` (`time.monotonic()`). Raises Busy."""
        taken = min(units, self.units)
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= taken, max(0.0, deadline - time.monotonic())):
                raise Busy(
                    f"pictures of other requests take all of {self._limit} ({self.units:,}); try again in a moment"
                )
            self._free -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()
