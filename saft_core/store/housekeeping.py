"""Deletion of expired rows and of files without rows. Safe to repeat, and to run in several workers at once.

It takes five statements, however many rows there are. A file that cannot be read or deleted is logged.
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
    """Delete expired idempotency records and audit events, blobs without a tenant, and checkpoints of ended jobs."""
    with sessions.begin() as session:
        idempotency.purge(session)
        audit.purge(session)
    _clear_blobs(sessions, blobs)
    _clear_checkpoints(sessions, checkpoints)


def _clear_blobs(sessions: sessionmaker[Session], blobs: BlobStore) -> None:
    """Delete the blobs of tenants, datasets and collections that do not exist, and half-written files."""
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
