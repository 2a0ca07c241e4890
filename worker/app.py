"""The Celery application of a worker. Its one task takes a job id; everything else is in the job's row.

Delivery is at least once (late acknowledgement), and the sweeper may send a message twice: only one claim of a job
succeeds, so the others do nothing. A worker consumes the queue of its own base.
"""

from __future__ import annotations

import os
import signal
import socket
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

from celery import Celery, signals

from saft_core.process import die_with_parent, keep_memory, release_memory, uncollected
from saft_core.settings import Settings
from saft_core.store.broker import Broker
from saft_core.store.messages import ANY_BASE_QUEUE, TRAIN_TASK, queue_name
from worker import base, stop
from worker.runtime import Runtime
from worker.sweeper import Sweeper

VISIBILITY_TIMEOUT_SECONDS = 24 * 3600


def create_worker_app(settings: Settings) -> Celery:
    """The application of one `saft worker`, which trains one job at a time in a child process.

    A crash of the child (out of memory, a fault in a native library) leaves the worker running.
    """
    runtime = Runtime(settings, owner=f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    app = Celery("saft", broker=settings.redis_url)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT_SECONDS},
    )

    @app.task(name=TRAIN_TASK)  # type: ignore[untyped-decorator]
    def train(job_id: str) -> None:
        try:
            _run_job()(runtime, job_id)
        finally:
            release_memory()

    _connect_signals(app, settings, runtime)
    return app


@cache
def _run_job() -> Callable[[Runtime, str], None]:
    """`pipeline.run_job`, imported once and in the child: torch must not be loaded in the process that forks."""
    with uncollected():
        from worker.pipeline import run_job  # noqa: PLC0415

        return run_job


def _connect_signals(app: Celery, settings: Settings, runtime: Runtime) -> None:
    """End the child with the worker, run the sweeper beside it, and release the jobs of a worker that stops."""
    sweeper = Sweeper(settings, Broker(settings.redis_url or ""))

    def on_child_start(**_: Any) -> None:
        keep_memory()  # each step allocates the same again: of the embedded base it took 1.4 times as long
        die_with_parent()
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # the parent's handler is not for this process

    def on_ready(**_: Any) -> None:
        sweeper.start()

    def on_stop(**_: Any) -> None:
        sweeper.stop()
        runtime.release_jobs()

    # weak=False: these closures have no other owner.
    signals.worker_process_init.connect(on_child_start, weak=False)
    signals.worker_ready.connect(on_ready, weak=False)
    signals.worker_shutdown.connect(on_stop, weak=False)
    stop.install_in(app, stop.Stop(runtime.release_jobs))


def run_worker(settings: Settings) -> None:
    """Consume messages until a stop signal. Raises Unavailable when the base cannot be loaded."""
    for number in stop.STOP_SIGNALS:
        signal.signal(number, stop.end_at_once)
    queues = f"{queue_name(base.fingerprint(settings.base))},{ANY_BASE_QUEUE}"
    app = create_worker_app(settings)
    options = ["--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["--quiet", "worker", f"--queues={queues}", *options])
