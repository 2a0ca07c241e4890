"""Shutdown of a worker: SIGTERM, SIGINT and SIGQUIT end it within seconds, whatever the training does.

Celery's own shutdowns do not fit: the warm one (SIGTERM) waits for the training, which may take hours, and the cold one
(also by REMAP_SIGTERM) waits for the broker and reports the training as a lost task. Here the training process is
killed and its job released: its state is in its row and its checkpoint. The message that the broker still counts as
delivered does not matter, since the job's next message is sent anew.
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
"""How long to try to release the job; `docker stop` kills after 10 s."""

logger = logging.getLogger(__name__)


class Stop:
    """Ends this process after a stop signal, when `release` has returned or STOP_SECONDS have passed.

    The signal handler never returns to Celery, which would start another training process and claim another job. A
    thread does the work, since a signal handler may have interrupted code that holds a lock.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._asked: SimpleQueue[None] = SimpleQueue()  # its put may be called by a signal handler

    def install(self) -> None:
        """Install the signal handlers; call it in the main thread."""
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
            self._release()
        finally:
            os._exit(0)


def kill_children() -> None:
    """Kill the training process and wait for its end, after which it writes nothing."""
    children = active_children()
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
    for child in children:
        child.join(STOP_SECONDS / 2)


def install_in(app: Celery, ending: Stop) -> None:
    """Have the worker call `ending.install` after Celery has installed its own signal handlers."""

    class StopStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = {"celery.worker.components:Pool"}  # noqa: RUF012

        def start(self, _: Any) -> None:
            ending.install()

        def stop(self, _: Any) -> None:
            """Nothing: the process ends."""

    app.steps["worker"].add(StopStep)


def end_at_once(*_: object) -> None:
    """A signal handler that ends a process which holds no job yet."""
    os._exit(0)
