"""Clearing what nobody needs any more. All of it is safe to do twice and by several workers at once.

It takes five statements, however much there is. What cannot be looked at or removed costs a line in the log.
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
from saft_core.store.images import ORPHAN_AGE_SECONDS
from saft_core.store.jobs import UNFINISHED
from saft_core.store.models import Collection, Dataset, Job, Tenant

logger = logging.getLogger(__name__)


def sweep(sessions: sessionmaker[Session], blobs: BlobStore, checkpoints: CheckpointStore) -> None:
    """Purge old idempotency records and events, blobs that a crash left without a row, checkpoints of ended jobs."""
    with sessions.begin() as session:
        idempotency.purge(session)
        audit.purge(session)
    _clear_blobs(sessions, blobs)
    _clear_checkpoints(sessions, checkpoints)


def _clear_blobs(sessions: sessionmaker[Session], blobs: BlobStore) -> None:
    """Folders of tenants that are gone, of uploads of the version before, and what a write left half done."""
    long_ago = time.time() - ORPHAN_AGE_SECONDS
    blobs.clear_incoming(long_ago)
    tenants = [owner for owner, changed in blobs.tenants() if changed < long_ago]
    before = [owner for owner, changed in blobs.owners_before() if changed < long_ago]
    with sessions() as session:
        known_tenants = set(session.scalars(select(Tenant.id).where(among(Tenant.id, tenants))))
        rows = (select(model.id).where(among(model.id, before)) for model in (Dataset, Collection))
        known = set(session.scalars(union_all(*rows)))
    for tenant_id in set(tenants) - known_tenants:
        blobs.delete_tenant(tenant_id)
    for owner in set(before) - known:
        blobs.delete_before(owner)


def _clear_checkpoints(sessions: sessionmaker[Session], checkpoints: CheckpointStore) -> None:
    found = list(checkpoints.job_ids())
    with sessions() as session:
        needed = set(session.scalars(select(Job.id).where(among(Job.id, found), Job.status.in_(UNFINISHED))))
    for job_id in set(found) - needed:
        try:
            checkpoints.delete(job_id)
        except OSError as error:
            logger.warning("the checkpoint of %s cannot be removed: %s", job_id, error)
