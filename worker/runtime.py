"""What a worker process keeps between jobs: database connections, stores, the base and the probe set.

Each is made at first use, since the process that forks must not own any of them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session, sessionmaker

from saft_core.data.limits import DataLimits
from saft_core.process import uncollected
from saft_core.settings import Settings
from saft_core.store import leases
from saft_core.store.blobs import BlobStore
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.database import create_sessions
from saft_core.store.stores import blob_store, checkpoint_store
from worker.database_retries import with_retries

if TYPE_CHECKING:
    from saft_core.clip.backbone import Base
    from saft_core.data.probe_set import Probe


class Runtime:
    """The resources of one worker process. `owner` is the name under which it holds leases."""

    def __init__(self, settings: Settings, owner: str) -> None:
        self.settings = settings
        self.owner = owner

    @cached_property
    def sessions(self) -> sessionmaker[Session]:
        """Database sessions of this process. Raises ValueError without a database URL."""
        if self.settings.database_url is None:
            raise ValueError("the worker needs a database URL")
        return create_sessions(self.settings.database_url)

    @cached_property
    def blobs(self) -> BlobStore:
        """The store of image files."""
        return blob_store(self.settings)

    @property
    def data_limits(self) -> DataLimits:
        """The limits on images, as saft_core/data takes them."""
        return DataLimits.from_attributes(self.settings.limits)

    @cached_property
    def checkpoints(self) -> CheckpointStore:
        """The store of training checkpoints."""
        return checkpoint_store(self.settings)

    @cached_property
    def base(self) -> Base:
        """The base, ready to train. Torch is imported here: it must not be loaded in the process that forks."""
        with uncollected():
            from saft_core.clip.loading import load_base  # noqa: PLC0415
            from saft_core.tuning.preload import warm_up  # noqa: PLC0415

            base = load_base(self.settings.base, self.settings.device)
            warm_up(base, self.data_limits)
            return base

    @cached_property
    def probe(self) -> Probe:
        """The probe set, on which forgetting is measured."""
        with uncollected():
            from saft_core.data.probe_set import PICTURES, load_probe  # noqa: PLC0415

            return load_probe(self.settings.probe or PICTURES)

    def release_jobs(self) -> None:
        """Put the jobs of this worker back in the queue, without counting the attempt; retries until it is done.

        It opens a connection of its own, since it runs in the process that forks.
        """
        sessions = create_sessions(self.settings.database_url or "")
        with_retries(sessions, lambda session: leases.release(session, self.owner))
        sessions.kw["bind"].dispose()
