"""When a training leaves its state for a worker that may have to take over, and where."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from saft_core.store.checkpoints import CheckpointStore

logger = logging.getLogger(__name__)


class JobCheckpoints:
    """The checkpoints of one attempt at a job, at most one every `interval_seconds`.

    still_mine: raises when the job is no longer this worker's; what another worker wrote is then left alone.
    """

    def __init__(
        self,
        store: CheckpointStore,
        job_id: str,
        attempt: int,
        interval_seconds: float,
        still_mine: Callable[[], None],
    ) -> None:
        self._store = store
        self._job_id = job_id
        self._attempt = attempt
        self._interval_seconds = interval_seconds
        self._still_mine = still_mine
        self._saved = time.monotonic()

    def load(self) -> bytes | None:
        """What the worker before left. A file that cannot be read costs a start from the beginning, not the job."""
        try:
            return self._store.load(self._job_id)
        except OSError:
            logger.warning("the checkpoint of %s cannot be read", self._job_id, exc_info=True)
            return None

    def due(self) -> bool:
        """Whether the latest is older than the interval."""
        return time.monotonic() - self._saved >= self._interval_seconds

    def save(self, state: bytes) -> None:
        """Leave `state`. A disk that is full costs the checkpoint, not the training."""
        self._still_mine()
        self._saved = time.monotonic()
        try:
            self._store.save(self._job_id, self._attempt, state)
        except OSError:
            logger.warning("the checkpoint of %s cannot be written", self._job_id, exc_info=True)
