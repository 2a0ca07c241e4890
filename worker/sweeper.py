"""The sweeper: publishes again what a crash lost, and clears what nobody needs any more.

Any number of workers may run one each: everything it does is safe to do twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy.orm import Session, sessionmaker

from saft_core.settings import Settings
from saft_core.store import housekeeping, jobs
from saft_core.store.blobs import BlobStore
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.database import create_sessions

logger = logging.getLogger(__name__)


class Sweeper:
    """A thread that sweeps every `sweep_interval_seconds`. A failed sweep is logged and tried again."""

    def __init__(self, settings: Settings, publish: Callable[[str], object]) -> None:
        self._settings = settings
        self._publish = publish
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
        checkpoints = CheckpointStore(self._settings.checkpoint_dir)
        while True:
            try:
                publish_lost(sessions, self._publish)
                housekeeping.sweep(sessions, blobs, checkpoints)
            except Exception:
                logger.exception("sweep failed")
            if self._stopping.wait(self._settings.sweep_interval_seconds):
                return


def publish_lost(sessions: sessionmaker[Session], publish: Callable[[str], object]) -> None:
    """Publish each job whose message may be gone, oldest first, and note it. Raises what `publish` raises."""
    with sessions.begin() as session:
        lost = jobs.lost(session)
    for job_id in lost:
        publish(job_id)
        with sessions.begin() as session:
            jobs.mark_published(session, job_id)
