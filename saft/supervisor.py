"""Child processes: started in order, restarted when they die or hang, stopped in order, never left behind."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from saft.child import PROBE_INTERVAL_SECONDS, Child, Process, end, kill, log_hint

LOOK_INTERVAL_SECONDS = 0.1
CHECK_INTERVAL_SECONDS = 2.0
MISSES = 3
"""Health checks missed in a row after which a child hangs."""
FIRST_START_SECONDS = 1800.0
"""How long a child may take until it first answers: it may be fetching its base over a slow line. Then it hangs."""
RESTART_FACTOR = 3
"""A start may take so many times what the last one took, if that is more than the child's own `restart_seconds`."""
START_ATTEMPTS = 3
"""Ends of a child that has never answered after which no further start will mend it."""
FIRST_RESTART_PAUSE_SECONDS = 0.5
LONGEST_RESTART_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 20.0
"""A child that lived so long and died is started again after the first pause; one that keeps dying waits longer."""


class ChildFailed(Exception):
    """A child ended in a way that no restart mends.

    status: what our own process should end with.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Supervisor:
    """Keeps children alive until `stop`.

    servers: start first, and end last.
    prepare: called once, when all servers have answered.
    parts: start then.
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
        self._servers = [_Keeper(child, check_seconds) for child in servers]
        self._parts = [_Keeper(child, check_seconds) for child in parts]
        self._prepare = prepare
        self._stopping = threading.Event()

    def run(self) -> None:
        """Keep all children running; returns after `stop` when all have ended.

        Raises ChildFailed, and what `prepare` raises, when all have ended.
        """
        try:
            asyncio.run(self._run())
        finally:
            for keepers in (self._parts, self._servers):
                end((keeper.child, keeper.process) for keeper in keepers if keeper.process)

    def stop(self) -> None:
        """Make `run` end. Safe in a signal handler."""
        self._stopping.set()

    async def _run(self) -> None:
        kept = [asyncio.create_task(keeper.keep()) for keeper in self._servers]
        await self._watch(kept, until=lambda: all(keeper.has_answered for keeper in self._servers))
        if self._stopping.is_set():
            return
        self._prepare()
        kept += [asyncio.create_task(keeper.keep()) for keeper in self._parts]
        await self._watch(kept, until=lambda: False)

    async def _watch(self, kept: Sequence[asyncio.Task[None]], until: Callable[[], bool]) -> None:
        while not until() and not self._stopping.is_set():
            await asyncio.sleep(LOOK_INTERVAL_SECONDS)
            # A keeper only ends by an error. Each is asked for its own: asyncio prints those that nobody asked for.
            for failure in [task.exception() for task in kept if task.done()]:
                if failure is not None:
                    raise failure


class _Keeper:
    """Starts one child again and again.

    process: the present one, or the last.
    has_answered: whether any of them ever passed a health check.
    """

    def __init__(self, child: Child, check_seconds: float) -> None:
        self.child = child
        self.process: Process | None = None
        self.has_answered = False
        self._check_seconds = check_seconds
        self._start_seconds = FIRST_START_SECONDS
        self._early_ends = 0
        self._pause_seconds = FIRST_RESTART_PAUSE_SECONDS

    async def keep(self) -> None:
        """Never returns. Raises ChildFailed when it is of no use to go on."""
        while True:
            started = time.monotonic()
            self.process = self.child.start()
            fate = await self._fate(self.process)
            self._give_up_if_hopeless(self.process.returncode)
            if time.monotonic() - started >= HEALTHY_SECONDS:
                self._pause_seconds = FIRST_RESTART_PAUSE_SECONDS
            _say(f"the {self.child.name} process {fate}; next start in {self._pause_seconds:g} s{log_hint(self.child)}")
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(2 * self._pause_seconds, LONGEST_RESTART_PAUSE_SECONDS)

    async def _fate(self, process: Process) -> str:
        """Wait until the process has ended, or hangs and was killed; say which."""
        hanging = asyncio.create_task(self._until_it_hangs())
        try:
            while process.poll() is None and not hanging.done():
                await asyncio.sleep(LOOK_INTERVAL_SECONDS)
        finally:
            hanging.cancel()
        if process.returncode is None:
            kill(process)
            return f"{hanging.result()} and was killed"
        return f"ended with {process.returncode}"

    async def _until_it_hangs(self) -> str:
        """What the process did that hangs. It loads before its first answer, for which it has more time."""
        began = time.monotonic()
        while not await self.child.answers(self._check_seconds):
            if time.monotonic() - began > self._start_seconds:
                return f"did not answer within {self._start_seconds:.0f} s of its start"
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)
        self.has_answered = True
        self._start_seconds = max(self.child.restart_seconds, RESTART_FACTOR * (time.monotonic() - began))
        misses = 0
        while misses < MISSES:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            misses = 0 if await self.child.answers(self._check_seconds) else misses + 1
        return f"missed {MISSES} health checks"

    def _give_up_if_hopeless(self, status: int) -> None:
        if status == os.EX_CONFIG:
            raise ChildFailed(f"stopped, because the {self.child.name} process cannot run like this; see above", status)
        self._early_ends += not self.has_answered
        if self._early_ends == START_ATTEMPTS:
            raise ChildFailed(
                f"stopped, because the {self.child.name} process ended {START_ATTEMPTS} times before it first answered,"
                f" at last with {status}{log_hint(self.child) or '; see above'}",
                os.EX_SOFTWARE,
            )


def _say(what: str) -> None:
    print(f"saft: {what}", file=sys.stderr, flush=True)  # noqa: T201
