"""Clearing what nobody needs any more. All of it is safe to do twice and by several workers at once."""

from __future__ import annotations

import time

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store import idempotency
from saft_core.store.blobs import BlobStore
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.models import Collection, Dataset, Job, JobStatus

ORPHAN_AGE_SECONDS = 6 * 3600
"""An upload under way has blobs before it has a row; no upload takes so long."""


def sweep(sessions: sessionmaker[Session], blobs: BlobStore, checkpoints: CheckpointStore) -> None:
    """Purge old idempotency records, blobs of uploads that a crash left without a row, checkpoints of ended jobs."""
    with sessions.begin() as session:
        idempotency.purge(session)
    old = [owner for owner, changed in blobs.owners() if changed < time.time() - ORPHAN_AGE_SECONDS]
    for owner in old:
        with sessions() as session:
            if not _exists(session, owner):
                blobs.delete_owner(owner)
    for job_id in checkpoints.job_ids():
        with sessions() as session:
            status = session.scalar(select(Job.status).where(Job.id == job_id))
        if status is None or JobStatus(status).is_final:
            checkpoints.delete(job_id)


def _exists(session: Session, owner: str) -> bool:
    return any(session.scalar(select(model.id).where(model.id == owner)) is not None for model in (Dataset, Collection))
