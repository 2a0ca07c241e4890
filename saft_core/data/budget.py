"""Memory shared by all who read pictures at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from saft_core.errors import Busy


class Budget:
    """A number of units (bytes, or pictures), of which each reserves what it needs for as long as it needs it.

    Whoever fits goes first, so that small pictures do not wait behind a large one. What is larger than the whole budget
    is let in alone. Reserve from one budget at a time, or from several always in the same order: then somebody can
    always go on.
    """

    def __init__(self, units: int, limit: str) -> None:
        self.units = units
        self._limit = limit
        self._free = units
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        """Units that nobody holds."""
        with self._changed:
            return self._free

    @contextmanager
    def reserved(self, units: int, deadline: float) -> Iterator[None]:
        """Hold so many units; waits for them until `deadline`, on `time.monotonic()`'s clock. Raises Busy."""
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
