"""The sweeper: publishes again what a crash lost, and clears what nobody needs any more.

Every worker runs one, and one at a time sweeps: the others find its lock in the database and leave it the round. A
sweep takes a fixed number of statements, however many jobs and datasets there are; only the tenants that are removed,
and files that no version has measured, take some for each, and a few seconds a sweep at most.
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
from saft_core.store import adoption, housekeeping, jobs, removal
from saft_core.store.blobs import BlobStore
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.database import create_sessions
from saft_core.store.images import Orphans
from worker.broker import Broker
from worker.persistence import in_a_line

LOCK_KEY = 0x5AF75EE9
"""PostgreSQL advisory lock of the sweep under way."""

logger = logging.getLogger(__name__)


class Sweeper:
    """A thread that sweeps every `sweep_interval_seconds`. What fails is logged and tried again."""

    def __init__(self, settings: Settings, broker: Broker) -> None:
        self._settings = settings
        self._broker = broker
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin; the first sweep is at once, so that a restarted service picks up its jobs."""
        self._thread.start()

    def stop(self) -> None:
        """End after the sweep under way."""
        self._stopping.set()

    def _run(self) -> None:
        sessions = create_sessions(self._settings.database_url or "")
        blobs = BlobStore(self._settings.blob_dir)
        checkpoints, orphans = CheckpointStore(self._settings.checkpoint_dir), Orphans()
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
    """One sweep, unless another worker is at it. A step that fails is logged and keeps no other from being done."""
    steps: tuple[Callable[[], None], ...] = (
        lambda: end_cancelled(sessions),
        lambda: publish_lost(sessions, broker.send, broker.count),
        lambda: housekeeping.sweep(sessions, blobs, checkpoints),
        lambda: adoption.sweep(sessions, blobs),
        lambda: orphans.sweep(sessions, blobs),
        lambda: removal.sweep(sessions, blobs, checkpoints),
    )
    try:
        with alone(sessions) as mine:
            for step in steps if mine else ():
                _attempt(step)
    except SQLAlchemyError as error:
        logger.warning("no sweep, the database does not answer: %s", in_a_line(error))


@contextmanager
def alone(sessions: sessionmaker[Session]) -> Iterator[bool]:
    """Whether this is the only sweep under way, over all workers; no other begins while the context lasts."""
    with sessions() as session:
        yield bool(session.scalar(select(func.pg_try_advisory_xact_lock(LOCK_KEY))))


def end_cancelled(sessions: sessionmaker[Session]) -> None:
    """End jobs that were to stop and whose worker is silent."""
    with sessions.begin() as session:
        jobs.end_cancelled(session)


def publish_lost(
    sessions: sessionmaker[Session], publish: Callable[[jobs.Message], object], queued: Callable[[str], int]
) -> None:
    """Publish each message that may be gone, oldest first, and note it. Raises what `publish` and `queued` raise.

    queued: how many messages a queue holds.
    """
    with sessions.begin() as session:
        lost = jobs.lost(session, queued)
    sent: list[str] = []
    try:
        for message in lost:
            publish(message)
            sent.append(message.job_id)
    finally:
        if sent:
            with sessions.begin() as session:
                jobs.mark_published(session, sent)


def _attempt(step: Callable[[], None]) -> None:
    try:
        step()
    except SQLAlchemyError as error:
        logger.warning("a sweep is not complete, the database does not answer: %s", in_a_line(error))
    except Exception as error:
        logger.warning("a sweep is not complete: %s: %s", type(error).__name__, error)
