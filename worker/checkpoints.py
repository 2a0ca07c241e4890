"""Checkpoints of a training, from which another worker resumes the job after a crash."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from saft_core.store.checkpoints import CheckpointStore

logger = logging.getLogger(__name__)


class JobCheckpoints:
    """The checkpoints of one attempt at a job, at most one every `interval_seconds`.

    check_lease: raises when the lease is lost; nothing is written then.
    """

    def __init__(
        self,
        store: CheckpointStore,
        job_id: str,
        attempt: int,
        interval_seconds: float,
        check_lease: Callable[[], None],
    ) -> None:
        self._store = store
        self._job_id = job_id
        self._attempt = attempt
        self._interval_seconds = interval_seconds
        self._check_lease = check_lease
        self._saved = time.monotonic()

    def load(self) -> bytes | None:
        """The job's latest checkpoint; None if there is none or it cannot be read, and the training starts anew."""
        try:
            return self._store.load(self._job_id)
        except OSError:
            logger.warning("the checkpoint of %s cannot be read", self._job_id, exc_info=True)
            return None

    def due(self) -> bool:
        """Whether the latest checkpoint is older than the interval."""
        return time.monotonic() - self._saved >= self._interval_seconds

    def save(self, state: bytes) -> None:
        """Save a checkpoint. A full disk is logged and does not end the training. Raises what `check_lease` raises."""
        self._check_lease()
        self._saved = time.monotonic()
        try:
            self._store.save(self._job_id, self._attempt, state)
        except OSError:
            logger.warning("the checkpoint of %s cannot be written", self._job_id, exc_info=True)
