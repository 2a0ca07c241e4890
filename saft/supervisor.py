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
LOOK_INTERVAL_SECONDS = 0.5
FIRST_RESTART_PAUSE_SECONDS = 1.0
LONGEST_RESTART_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""A child that lived so long and died is started again after the first pause; one that keeps dying waits longer."""


@dataclass(frozen=True)
class Child:
    """One process to keep alive.

    stop_signal: what asks it to end; it is killed if it has not ended after STOP_SECONDS.
    """

    name: str
    arguments: Sequence[str]
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass
class _Life:
    """A child's present process, and when to start the next one should it die."""

    process: subprocess.Popen[bytes]
    started: float
    pause_seconds: float = FIRST_RESTART_PAUSE_SECONDS
    restart_at: float | None = None


class Supervisor:
    """Keeps children alive until `stop`.

    Each child gets a session of its own, so that Ctrl-C reaches the supervisor alone and it alone decides the order.
    """

    def __init__(self, children: Sequence[Child], environment: Mapping[str, str]) -> None:
        self._children = children
        self._environment = {**os.environ, **environment}
        self._lives: dict[str, _Life] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Start all children and keep them running; returns after `stop` when all have ended."""
        try:
            for child in self._children:
                self._lives[child.name] = _Life(self._start(child), time.monotonic())
            while not self._stopping.wait(LOOK_INTERVAL_SECONDS):
                for child in self._children:
                    self._look_after(child, self._lives[child.name])
        finally:
            self._end_all()

    def stop(self) -> None:
        """Make `run` end. Safe in a signal handler."""
        self._stopping.set()

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        # preexec_fn is unsafe beside other threads; the supervisor has none.
        return subprocess.Popen(  # noqa: S603 (our own command line)
            child.arguments,
            env=self._environment,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )

    def _look_after(self, child: Child, life: _Life) -> None:
        """Note a death and plan the restart, or carry out the plan."""
        now = time.monotonic()
        if life.restart_at is not None and now >= life.restart_at:
            life.process, life.started, life.restart_at = self._start(child), now, None
        elif life.restart_at is None and (code := life.process.poll()) is not None:
            healthy = now - life.started >= HEALTHY_SECONDS
            life.pause_seconds = (
                FIRST_RESTART_PAUSE_SECONDS if healthy else min(2 * life.pause_seconds, LONGEST_RESTART_PAUSE_SECONDS)
            )
            life.restart_at = now + life.pause_seconds
            message = f"saft: the {child.name} process ended with {code}; next start in {life.pause_seconds:.0f} s"
            print(message, file=sys.stderr)  # noqa: T201

    def _end_all(self) -> None:
        for child in self._children:
            if child.name in self._lives and self._lives[child.name].process.poll() is None:
                self._lives[child.name].process.send_signal(child.stop_signal)
        deadline = time.monotonic() + STOP_SECONDS
        for life in self._lives.values():
            try:
                life.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(life.process.pid, signal.SIGKILL)
                life.process.wait()
