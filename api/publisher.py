"""Publishing jobs to the workers through Celery's broker. Not the queue itself: that is saft_core/store/jobs.py."""

from __future__ import annotations

from celery import Celery

from saft_core.store.messages import ANY_BASE_QUEUE, TRAIN_TASK

CONNECT_TIMEOUT_SECONDS = 3


class CeleryPublisher:
    """Publishes job ids to the Celery queue of one base. The task is named: the API never imports the worker."""

    def __init__(self, redis_url: str, queue: str = ANY_BASE_QUEUE) -> None:
        self._queue = queue
        self._app = Celery("saft", broker=redis_url)
        self._app.conf.update(
            task_ignore_result=True,
            broker_connection_timeout=CONNECT_TIMEOUT_SECONDS,
            broker_transport_options={
                "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "socket_timeout": CONNECT_TIMEOUT_SECONDS,
                "max_retries": 1,
            },
        )

    def __call__(self, job_id: str) -> None:
        """Publish the id of one job. Raises kombu's OperationalError when the broker does not answer."""
        self._app.send_task(TRAIN_TASK, args=[job_id], queue=self._queue, retry=False)

    def ping(self) -> None:
        """Connect to the broker. Raises kombu's OperationalError when it does not answer."""
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT_SECONDS)
