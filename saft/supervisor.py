"""The supervisor of `saft serve`: starts its child processes in order, keeps them running, and ends them in reverse.

The children are the embedded PostgreSQL (postgres.py), the embedded Valkey (valkey.py), the API and the worker
(cli.py). Each of them is restarted when it ends or hangs (restart.py).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from saft.child import Child, end
from saft.restart import LOOK_INTERVAL_SECONDS, RestartedChild


class Supervisor:
    """Runs child processes until `stop`, and restarts each one that ends or hangs.

    servers: the embedded PostgreSQL and Valkey, which start first and end last; none of a server that was given by URL.
    prepare: called once, when all servers have answered their health checks.
    parts: the API and the worker, which start after that.
    check_seconds: time limit of one health check.
    """

    def __init__(
        self,
        servers: Sequence[Child],
        parts: Sequence[Child],
        *,
        prepare: Callable[[], None] = lambda: None,
        check_seconds: float = 5.0,
    ) -> None:
        self._servers = [RestartedChild(child, check_seconds) for child in servers]
        self._parts = [RestartedChild(child, check_seconds) for child in parts]
        self._prepare = prepare
        self._stopping = threading.Event()

    def run(self) -> None:
        """Keep all children running; returns after `stop`, when all have ended.

        Raises ChildFailed, and what `prepare` raises, when all have ended.
        """
        try:
            asyncio.run(self._run())
        finally:
            for children in (self._parts, self._servers):
                end((child.child, child.process) for child in children if child.process)

    def stop(self) -> None:
        """Make `run` end. Safe in a signal handler."""
        self._stopping.set()

    async def _run(self) -> None:
        kept = [asyncio.create_task(child.run()) for child in self._servers]
        await self._watch(kept, until=lambda: all(child.has_answered for child in self._servers))
        if self._stopping.is_set():
            return
        self._prepare()
        kept += [asyncio.create_task(child.run()) for child in self._parts]
        await self._watch(kept, until=lambda: False)

    async def _watch(self, kept: Sequence[asyncio.Task[None]], until: Callable[[], bool]) -> None:
        while not until() and not self._stopping.is_set():
            await asyncio.sleep(LOOK_INTERVAL_SECONDS)
            # These tasks end by an error only. Each is asked for its own: asyncio prints those that nobody asked for.
            for failure in [task.exception() for task in kept if task.done()]:
                if failure is not None:
                    raise failure
