"""Stopping: SIGTERM, SIGINT or SIGQUIT end the worker within seconds, whatever the training does.

Celery's own answers do not fit. Its warm stop (SIGTERM) waits for the training to end, which may take hours, and its
cold stop, also by REMAP_SIGTERM, waits for the broker and reports the training as a lost task. There is nothing to wait
for: the job's state is in its row and its checkpoint. So the training process is killed, the job is given back, and the
message that the broker still counts as taken is of no account: the job's next message is published anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from billiard import active_children
from celery import Celery, bootsteps

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
STOP_SECONDS = 8.0
"""How long to try to give the job back: `docker stop` kills after 10."""

logger = logging.getLogger(__name__)


class Stop:
    """Ends this process when it is told to, once `give_back` has returned or STOP_SECONDS have passed.

    The signal handler never returns to Celery, which would start another training process and take another job. The
    work is done by a thread that waits for it, since a handler may have interrupted anything.
    """

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._asked: SimpleQueue[None] = SimpleQueue()  # its put may be called by a signal handler

    def install(self) -> None:
        """Take over the signals of this process; to be called by the main thread."""
        threading.Thread(target=self._run, name="stop", daemon=True).start()
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._asked.put(None)
        time.sleep(STOP_SECONDS)
        os._exit(1)

    def _run(self) -> None:
        self._asked.get()
        try:
            kill_children()
            self._give_back()
        finally:
            os._exit(0)


def kill_children() -> None:
    """Kill the training process and wait for its end: from then on it writes nothing more."""
    children = active_children()
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
    for child in children:
        child.join(STOP_SECONDS / 2)


def install_in(app: Celery, ending: Stop) -> None:
    """Have the application's worker call `ending.install` when Celery has installed its own signal handlers."""

    class StopStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = {"celery.worker.components:Pool"}  # noqa: RUF012

        def start(self, _: Any) -> None:
            ending.install()

        def stop(self, _: Any) -> None:
            """Nothing: the process ends."""

    app.steps["worker"].add(StopStep)


def end_at_once(*_: object) -> None:
    """A signal handler for a process that holds nothing yet."""
    os._exit(0)
