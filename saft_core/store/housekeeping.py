"""Clearing what nobody needs any more. All of it is safe to do twice and by several workers at once.

It takes four statements, however much there is. What cannot be looked at or removed costs a line in the log.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy import select, union_all
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store import audit, idempotency
from saft_core.store.blobs import BlobStore
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.database import among
from saft_core.store.jobs import UNFINISHED
from saft_core.store.models import Collection, Dataset, Job

ORPHAN_AGE_SECONDS = 6 * 3600
"""An upload under way has blobs before it has a row; no upload takes so long."""

logger = logging.getLogger(__name__)


def sweep(sessions: sessionmaker[Session], blobs: BlobStore, checkpoints: CheckpointStore) -> None:
    """Purge old idempotency records and events, blobs that a crash left without a row, checkpoints of ended jobs."""
    with sessions.begin() as session:
        idempotency.purge(session)
        audit.purge(session)
    _clear_blobs(sessions, blobs)
    _clear_checkpoints(sessions, checkpoints)


def _clear_blobs(sessions: sessionmaker[Session], blobs: BlobStore) -> None:
    old = [owner for owner, changed in blobs.owners() if changed < time.time() - ORPHAN_AGE_SECONDS]
    with sessions() as session:
        rows = (select(model.id).where(among(model.id, old)) for model in (Dataset, Collection))
        known = set(session.scalars(union_all(*rows)))
    for owner in set(old) - known:
        blobs.delete_owner(owner)


def _clear_checkpoints(sessions: sessionmaker[Session], checkpoints: CheckpointStore) -> None:
    found = list(checkpoints.job_ids())
    with sessions() as session:
        needed = set(session.scalars(select(Job.id).where(among(Job.id, found), Job.status.in_(UNFINISHED))))
    for job_id in set(found) - needed:
        try:
            checkpoints.delete(job_id)
        except OSError as error:
            logger.warning("the checkpoint of %s cannot be removed: %s", job_id, error)
