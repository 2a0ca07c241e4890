"""The sweeper: a periodic task that sends lost messages again and deletes what is no longer needed.

Every worker runs one as a thread; a lock in the database lets one of them sweep at a time, and the others skip the
round. A sweep takes a fixed number of statements, however many jobs and datasets there are. Only deleted tenants, and
files of earlier versions, take some for each, for a few seconds a sweep at most.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from saft_core.settings import Settings
from saft_core.store import adoption, housekeeping, jobs, messages, removal
from saft_core.store.blobs import BlobStore
from saft_core.store.broker import Broker
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.database import create_sessions
from saft_core.store.images import Orphans
from saft_core.store.stores import blob_store, checkpoint_store
from worker.database_retries import one_line

LOCK_KEY = 0x5AF75EE9
"""The key of PostgreSQL's advisory lock that the sweep under way holds."""

logger = logging.getLogger(__name__)


class Sweeper:
    """A thread that sweeps every `sweep_interval_seconds`; the next sweep repeats a step that failed."""

    def __init__(self, settings: Settings, broker: Broker) -> None:
        self._settings = settings
        self._broker = broker
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Start the thread; it sweeps at once, so that a restarted service resumes its jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end after the sweep under way."""
        self._stopping.set()

    def _run(self) -> None:
        sessions = create_sessions(self._settings.database_url or "")
        blobs = blob_store(self._settings)
        checkpoints, orphans = checkpoint_store(self._settings), Orphans()
        while True:
            sweep(sessions, self._broker, blobs, checkpoints, orphans)
            if self._stopping.wait(self._settings.sweep_interval_seconds):
                return


def sweep(
    sessions: sessionmaker[Session],
    broker: Broker,
    blobs: BlobStore,
    checkpoints: CheckpointStore,
    orphans: Orphans,
) -> None:
    """Sweep once, unless another worker does just now. A step that fails is logged, and the other steps go on."""
    steps: tuple[Callable[[], None], ...] = (
        lambda: end_cancelled(sessions),
        lambda: send_needed_messages(sessions, broker.send, broker.count),
        lambda: housekeeping.sweep(sessions, blobs, checkpoints),
        lambda: adoption.sweep(sessions, blobs),
        lambda: orphans.sweep(sessions, blobs),
        lambda: removal.sweep(sessions, blobs, checkpoints),
    )
    try:
        with sweep_lock(sessions) as locked:
            for step in steps if locked else ():
                _attempt(step)
    except SQLAlchemyError as error:
        logger.warning("no sweep, the database does not answer: %s", one_line(error))


@contextmanager
def sweep_lock(sessions: sessionmaker[Session]) -> Iterator[bool]:
    """Try to lock out the sweeps of all other workers within the context; yields whether that succeeded."""
    with sessions() as session:
        yield bool(session.scalar(select(func.pg_try_advisory_xact_lock(LOCK_KEY))))


def end_cancelled(sessions: sessionmaker[Session]) -> None:
    """End the jobs that are to be cancelled and whose lease has expired."""
    with sessions.begin() as session:
        jobs.end_cancelled(session)


def send_needed_messages(
    sessions: sessionmaker[Session], send: Callable[[messages.Message], object], queued: Callable[[str], int]
) -> None:
    """Send each message that `messages.needing_message` names, and note it. Raises what `send` and `queued` raise.

    queued: gives the number of messages in a queue.
    """
    with sessions.begin() as session:
        needed = messages.needing_message(session, queued)
    sent: list[str] = []
    try:
        for message in needed:
            send(message)
            sent.append(message.job_id)
    finally:
        if sent:
            with sessions.begin() as session:
                messages.mark_sent(session, sent)


def _attempt(step: Callable[[], None]) -> None:
    try:
        step()
    except SQLAlchemyError as error:
        logger.warning("a sweep is not complete, the database does not answer: %s", one_line(error))
    except Exception as error:
        logger.warning("a sweep is not complete: %s: %s", type(error).__name__, error)
