"""The Celery application. Tasks are thin: a task is a job id, and the job's row is the truth.

Delivery is at least once (late acknowledgement), and the sweeper may publish a job twice: the claim in the database
makes all but one of the messages harmless. A worker takes messages from the queue of its own base.
"""

from __future__ import annotations

import os
import signal
import socket
import uuid
from typing import Any

from celery import Celery, signals

from saft_core.process import die_with_parent
from saft_core.settings import Settings
from saft_core.store.jobs import ANY_BASE_QUEUE, TRAIN_TASK, queue_of
from worker import base, stop
from worker.broker import Broker
from worker.runtime import Runtime
from worker.sweeper import Sweeper

VISIBILITY_TIMEOUT_SECONDS = 24 * 3600


def create_worker_app(settings: Settings) -> Celery:
    """The application of one `saft worker`: one training at a time, in a child process of its own.

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
        runtime.train(job_id)

    _connect_signals(app, settings, runtime)
    return app


def _connect_signals(app: Celery, settings: Settings, runtime: Runtime) -> None:
    """The training child dies with the worker, the sweeper lives in it, and a stopped worker gives its jobs back."""
    sweeper = Sweeper(settings, Broker(settings.redis_url or ""))

    def on_child_start(**_: Any) -> None:
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
    """Consume jobs until the process is told to stop. Raises Unavailable when the base cannot be loaded."""
    for number in stop.STOP_SIGNALS:
        signal.signal(number, stop.end_at_once)
    queues = f"{queue_of(base.fingerprint(settings.base))},{ANY_BASE_QUEUE}"
    app = create_worker_app(settings)
    options = ["--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["--quiet", "worker", f"--queues={queues}", *options])
