"""Child processes: started together, restarted when they die, stopped together, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from saft_core.process import die_with_parent

STOP_SECONDS = 15.0
RESTART_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Child:
    """One process to keep alive.

    stop_signal: what asks it to end; it is killed if it has not ended after STOP_SECONDS.
    """

    name: str
    arguments: Sequence[str]
    stop_signal: signal.Signals = signal.SIGTERM


class Supervisor:
    """Keeps children alive until `stop`.

    Each child gets a session of its own, so that Ctrl-C reaches the supervisor alone and it alone decides the order.
    """

    def __init__(self, children: Sequence[Child], environment: Mapping[str, str]) -> None:
        self._children = children
        self._environment = {**os.environ, **environment}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Start all children and keep them running; returns after `stop` when all have ended."""
        try:
            for child in self._children:
                self._start(child)
            while not self._stopping.wait(RESTART_PAUSE_SECONDS):
                self._restart_the_dead()
        finally:
            self._end_all()

    def stop(self) -> None:
        """Make `run` end. Safe in a signal handler."""
        self._stopping.set()

    def _start(self, child: Child) -> None:
        # preexec_fn is unsafe beside other threads; the supervisor has none.
        self._processes[child.name] = subprocess.Popen(  # noqa: S603 (our own command line)
            child.arguments,
            env=self._environment,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )

    def _restart_the_dead(self) -> None:
        for child in self._children:
            code = self._processes[child.name].poll()
            if code is not None:
                print(f"saft: the {child.name} process ended with {code}; starting it again", file=sys.stderr)  # noqa: T201
                self._start(child)

    def _end_all(self) -> None:
        for child in self._children:
            if child.name in self._processes and self._processes[child.name].poll() is None:
                self._processes[child.name].send_signal(child.stop_signal)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
