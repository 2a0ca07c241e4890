"""What a worker process holds between jobs: connections and the base, made at first use.

The process that forks must not own any of them, so nothing is opened before the child asks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session, sessionmaker

from saft_core.data.limits import DataLimits
from saft_core.process import uncollected
from saft_core.settings import Settings
from saft_core.store import jobs
from saft_core.store.blobs import BlobStore
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.database import create_sessions
from worker.persistence import persistently

if TYPE_CHECKING:
    from saft_core.clip.backbone import Base
    from saft_core.data.probe import Probe


class Runtime:
    """Trains jobs as `owner`, the name under which this worker holds its leases."""

    def __init__(self, settings: Settings, owner: str) -> None:
        self.settings = settings
        self.owner = owner

    @cached_property
    def sessions(self) -> sessionmaker[Session]:
        """Database sessions of this process."""
        if self.settings.database_url is None:
            raise ValueError("the worker needs a database URL")
        return create_sessions(self.settings.database_url)

    @cached_property
    def blobs(self) -> BlobStore:
        """Image files."""
        return BlobStore(self.settings.blob_dir)

    @property
    def data_limits(self) -> DataLimits:
        """The limits on images, as the data room takes them."""
        return DataLimits.from_attributes(self.settings.limits)

    @cached_property
    def checkpoints(self) -> CheckpointStore:
        """States of trainings under way."""
        return CheckpointStore(self.settings.checkpoint_dir)

    @cached_property
    def base(self) -> Base:
        """The shared CLIP, ready to train. Imported here because torch must not be loaded in the process that forks."""
        with uncollected():
            from saft_core.clip.loading import load_base  # noqa: PLC0415
            from saft_core.tuning.warm_up import warm_up  # noqa: PLC0415

            base = load_base(self.settings.base, self.settings.device)
            warm_up(base, self.data_limits)
            return base

    @cached_property
    def probe(self) -> Probe:
        """What forgetting is measured on. Imported here for the same reason."""
        with uncollected():
            from saft_core.data.probe import PICTURES, load_probe  # noqa: PLC0415

            return load_probe(self.settings.probe or PICTURES)

    @cached_property
    def _run_job(self) -> Callable[[Runtime, str], None]:
        """Imported here for the same reason."""
        with uncollected():
            from worker.pipeline import run_job  # noqa: PLC0415

            return run_job

    def train(self, job_id: str) -> None:
        """Claim the job and bring it to its end; does nothing if it has ended or another worker holds it."""
        self._run_job(self, job_id)

    def release_jobs(self) -> None:
        """Give unfinished jobs back to the queue, without counting the attempt; waits for the database.

        Opens its own connection: the process that stops is the one that forked.
        """
        sessions = create_sessions(self.settings.database_url or "")
        persistently(sessions, lambda session: jobs.release(session, self.owner))
        sessions.kw["bind"].dispose()
