"""The sweeper's connection to the broker: send a message, and count those in a queue."""

from __future__ import annotations

from celery import Celery

from saft_core.store.messages import TRAIN_TASK, Message

ANSWER_SECONDS = 3


class Broker:
    """A connection with time limits, which that of the consuming worker cannot have: it waits for messages."""

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
        """Put a message in its queue. Raises kombu's OperationalError when the broker does not answer."""
        self._app.send_task(TRAIN_TASK, args=[message.job_id], queue=message.queue, retry=False)

    def count(self, queue: str) -> int:
        """The number of messages in a queue; one that was delivered to a worker does not count.

        Raises kombu's OperationalError when the broker does not answer.
        """
        with self._app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=ANSWER_SECONDS)
            return int(connection.default_channel.queue_declare(queue=queue, passive=False).message_count)
