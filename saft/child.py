"""One child process: how it is started, asked whether it answers, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from saft_core.errors import Unavailable
from saft_core.process import die_with_parent

STOP_SECONDS = 15.0
START_SECONDS = 60.0
PROBE_INTERVAL_SECONDS = 0.1

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Account:
    """The user and group a process runs as, by their numbers."""

    user: int
    group: int


@dataclass(frozen=True)
class Child:
    """One process to keep alive.

    probe: raises unless the process does its work. The caller sets the time limit.
    environment: variables it gets beside our own.
    before: called before every start, to clear what a killed process left.
    account: None is our own; another one needs root.
    log: the file its output goes to; None is our own output.
    stop_signal: what asks it to end; it is killed if it has not ended after STOP_SECONDS.
    restart_seconds: once it has answered, how long a new one may take until it answers; then it hangs.
    """

    name: str
    arguments: Sequence[str]
    probe: Callable[[], Awaitable[None]]
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None
    account: Account | None = None
    log: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    restart_seconds: float = 120.0

    def start(self) -> Process:
        """A new process in a session of its own, so that Ctrl-C reaches the parent alone; it dies with the parent."""
        self.before()
        account = self.account
        with self.log.open("ab") if self.log else contextlib.nullcontext() as output:
            # preexec_fn is unsafe beside threads that hold locks; the supervisor has no threads.
            return subprocess.Popen(  # noqa: S603 (our own command line)
                self.arguments,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                user=account.user if account else None,
                group=account.group if account else None,
                extra_groups=[] if account else None,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )

    async def answers(self, within_seconds: float) -> bool:
        """Whether the probe succeeds in time."""
        try:
            async with asyncio.timeout(within_seconds):
                await self.probe()
        except Exception:  # whatever a client raises: the process does not answer
            return False
        return True


def end(running: Iterable[tuple[Child, Process]]) -> None:
    """Ask all to end, and kill those that have not after STOP_SECONDS."""
    alive = [(child, process) for child, process in running if process.poll() is None]
    for child, process in alive:
        process.send_signal(child.stop_signal)
    deadline = time.monotonic() + STOP_SECONDS
    for _, process in alive:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill(process)


def kill(process: Process) -> None:
    """End the process, and those that it started in its group, at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def running(children: Iterable[Child]) -> Iterator[None]:
    """Children that answer, for the time of the block; nobody restarts them.

    Raises Unavailable when one ends or does not answer within START_SECONDS.
    """
    started: list[tuple[Child, Process]] = []
    try:
        for child in children:
            started.append((child, child.start()))
            _await_answer(*started[-1])
        yield
    finally:
        end(reversed(started))


def _await_answer(child: Child, process: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if asyncio.run(child.answers(START_SECONDS)):
            return
        time.sleep(PROBE_INTERVAL_SECONDS)
    raise Unavailable(f"the {child.name} process does not start{log_hint(child)}")


def log_hint(child: Child) -> str:
    """Where to read more, as the end of a sentence."""
    return f"; its log is {child.log}" if child.log else ""
