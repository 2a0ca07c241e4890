"""A child process of `saft serve`: its command, its health check, its start and its end. Restarts are in restart.py."""

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
    """The user and group ids that a process runs as."""

    user: int
    group: int


@dataclass(frozen=True)
class Child:
    """How to run one process.

    probe: the health check, which raises unless the process does its work; the caller sets the time limit.
    environment: variables in addition to those of this process.
    before: called before every start, to remove what a killed process left.
    account: the account to run as, which needs root; None is that of this process.
    log: the file for its output; None is the output of this process.
    stop_signal: asks the process to end; it is killed if it has not ended after STOP_SECONDS.
    restart_seconds: how long a restarted process may take until its first answer before it counts as hanging.
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
        """Start a process in a session of its own, so that Ctrl-C reaches the parent alone; it dies with the parent."""
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
        """Whether the probe succeeds within this time."""
        try:
            async with asyncio.timeout(within_seconds):
                await self.probe()
        except Exception:  # whatever a client raises: the process does not answer
            return False
        return True


def end(running: Iterable[tuple[Child, Process]]) -> None:
    """Send each process its stop signal, and kill those that have not ended after STOP_SECONDS."""
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
    """Kill the process and its process group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def running(children: Iterable[Child]) -> Iterator[None]:
    """Run children within the context, each with its first answer awaited; they are not restarted.

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
    """The end of a sentence that names the log of the child, if it has one."""
    return f"; its log is {child.log}" if child.log else ""
