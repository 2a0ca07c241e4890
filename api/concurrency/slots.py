"""Slots of a concurrency limit, shared by tenants: nobody waits for one, a request without one is refused."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from saft_core.errors import Busy
from saft_core.serving.shares import has_room


class Slots:
    """A number of `units` shared by tenants. Thread-safe.

    One share has no more than it leaves free, so that a flood of one tenant never takes the last ones. limit: the name
    of the setting that says how many units there are, for errors.
    """

    def __init__(self, units: int, limit: str) -> None:
        self.units, self._limit = units, limit
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        """Units that nobody has."""
        return self.units - self.taken

    @property
    def taken(self) -> int:
        """Units in use."""
        with self._lock:
            return self._taken.total()

    @contextmanager
    def acquired(self, share: str, units: int = 1) -> Iterator[None]:
        """Hold `units`, or all that there are, for as long as the context is open. Raises Busy at once."""
        wanted = min(units, self.units)
        with self._lock:
            own, taken = self._taken[share], self._taken.total()
            if not has_room(own, taken, self.units, wanted):
                raise Busy(
                    f"{own} requests or images of yours are under way, and {taken} in all; the limit {self._limit} is"
                    f" {self.units}, of which nobody takes more than are free; try again in a moment"
                )
            self._taken[share] += wanted
        try:
            yield
        finally:
            with self._lock:
                self._taken[share] -= wanted
                if not self._taken[share]:
                    del self._taken[share]
