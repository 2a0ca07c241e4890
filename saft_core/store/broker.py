"""The connection to Celery's broker (Valkey) by which messages are sent to workers and counted.

It has time limits, which the connection of the consuming worker (worker/app.py) cannot have: that one waits for
messages. The task is named, so that the API sends it without importing the worker.
"""

from __future__ import annotations

from celery import Celery

from saft_core.store.messages import TRAIN_TASK, Message

ANSWER_SECONDS = 3


class Broker:
    """A broker that is given up after ANSWER_SECONDS: its methods then raise kombu's OperationalError."""

    def __init__(self, redis_url: str) -> None:
        self._app = Celery("saft", broker=redis_url, set_as_current=False)
        self._app.conf.update(
            task_ignore_result=True,
            broker_connection_timeout=ANSWER_SECONDS,
            broker_transport_options={
                "socket_connect_timeout": ANSWER_SECONDS,
                "socket_timeout": ANSWER_SECONDS,
                "max_retries": 1,
            },
        )

    def send(self, message: Message) -> None:
        """Put a message in its queue."""
        self._app.send_task(TRAIN_TASK, args=[message.job_id], queue=message.queue, retry=False)

    def count(self, queue: str) -> int:
        """The number of messages in a queue; one that was delivered to a worker does not count."""
        with self._app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=ANSWER_SECONDS)
            return int(connection.default_channel.queue_declare(queue=queue, passive=False).message_count)

    def ping(self) -> None:
        """Connect to the broker."""
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=ANSWER_SECONDS)
