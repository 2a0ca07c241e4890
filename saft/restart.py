"""The restart of one child process of `saft serve` that has ended or hangs.

The embedded PostgreSQL, the embedded Valkey, the API and the worker are all restarted here. How each is run, and how
its health is checked, is its `Child` (postgres.py, valkey.py, cli.py); in which order they start is in supervisor.py.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from saft.child import PROBE_INTERVAL_SECONDS, Child, Process, kill, log_hint

LOOK_INTERVAL_SECONDS = 0.1
CHECK_INTERVAL_SECONDS = 2.0
FAILURE_THRESHOLD = 3
"""Health checks that fail in a row before a child counts as hanging."""
FIRST_START_SECONDS = 1800.0
"""How long a child may take until its first answer: it may be downloading its base. After that it counts as hanging."""
RESTART_FACTOR = 3
"""A restart may take this many times as long as the last start, or `Child.restart_seconds` if that is more."""
START_ATTEMPTS = 3
"""Starts of a child that never answers before it is given up."""
FIRST_RESTART_PAUSE_SECONDS = 0.5
LONGEST_RESTART_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 20.0
"""A child that ends after this time is restarted after the first pause; one that ends earlier after twice the last."""


class ChildFailed(Exception):
    """A child ended in a way that no restart mends.

    status: what our own process should end with.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RestartedChild:
    """A child process that is started again whenever it ends or hangs.

    process: the current process, or the last one; None before the first start.
    has_answered: whether one of the processes has passed a health check.
    """

    def __init__(self, child: Child, check_seconds: float) -> None:
        self.child = child
        self.process: Process | None = None
        self.has_answered = False
        self._check_seconds = check_seconds
        self._start_seconds = FIRST_START_SECONDS
        self._early_ends = 0
        self._pause_seconds = FIRST_RESTART_PAUSE_SECONDS

    async def run(self) -> None:
        """Start the child, and restart it for ever. Raises ChildFailed when no restart can help."""
        while True:
            started = time.monotonic()
            self.process = self.child.start()
            ending = await self._wait_for_end(self.process)
            self._raise_if_hopeless(self.process.returncode)
            if time.monotonic() - started >= HEALTHY_SECONDS:
                self._pause_seconds = FIRST_RESTART_PAUSE_SECONDS
            _log(
                f"the {self.child.name} process {ending}; next start in {self._pause_seconds:g} s{log_hint(self.child)}"
            )
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(2 * self._pause_seconds, LONGEST_RESTART_PAUSE_SECONDS)

    async def _wait_for_end(self, process: Process) -> str:
        """Wait until the process has ended, or hangs and was killed; returns which, in words."""
        hanging = asyncio.create_task(self._watch_health())
        try:
            while process.poll() is None and not hanging.done():
                await asyncio.sleep(LOOK_INTERVAL_SECONDS)
        finally:
            hanging.cancel()
        if process.returncode is None:
            kill(process)
            return f"{hanging.result()} and was killed"
        return f"ended with {process.returncode}"

    async def _watch_health(self) -> str:
        """Check the health until the process hangs; returns how, in words. The first answer may take longer."""
        began = time.monotonic()
        while not await self.child.answers(self._check_seconds):
            if time.monotonic() - began > self._start_seconds:
                return f"did not answer within {self._start_seconds:.0f} s of its start"
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)
        self.has_answered = True
        self._start_seconds = max(self.child.restart_seconds, RESTART_FACTOR * (time.monotonic() - began))
        failures = 0
        while failures < FAILURE_THRESHOLD:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            failures = 0 if await self.child.answers(self._check_seconds) else failures + 1
        return f"missed {FAILURE_THRESHOLD} health checks"

    def _raise_if_hopeless(self, status: int) -> None:
        if status == os.EX_CONFIG:
            raise ChildFailed(f"stopped, because the {self.child.name} process cannot run like this; see above", status)
        self._early_ends += not self.has_answered
        if self._early_ends == START_ATTEMPTS:
            raise ChildFailed(
                f"stopped, because the {self.child.name} process ended {START_ATTEMPTS} times before it first answered,"
                f" at last with {status}{log_hint(self.child) or '; see above'}",
                os.EX_SOFTWARE,
            )


def _log(what: str) -> None:
    print(f"saft: {what}", file=sys.stderr, flush=True)  # noqa: T201
