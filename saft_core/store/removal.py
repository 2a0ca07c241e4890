"""Removal of everything that a deleted tenant had: rows, files and checkpoints.

Files are deleted before their row, one thing in a transaction, and the tenant's own row last: the rows that are left
are what is left to do, so a crash costs the step under way only. The row of a job is deleted before its checkpoint, so
that its worker notices; `housekeeping` deletes a checkpoint without a job. An upload that was under way fails in the
end, and `housekeeping` deletes its files, which have no tenant.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store import images
from saft_core.store.blobs import BlobStore
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.database import among
from saft_core.store.models import Adapter, AuditEvent, Collection, Dataset, IdempotencyRecord, Job, Tenant
from saft_core.store.scope import Scope

REMOVE_SECONDS = 5.0
"""How long one sweep removes; the next sweep goes on."""
AT_ONCE = 100
"""Jobs or adapters that one transaction deletes."""

logger = logging.getLogger(__name__)


def sweep(sessions: sessionmaker[Session], blobs: BlobStore, checkpoints: CheckpointStore) -> None:
    """Remove deleted tenants for REMOVE_SECONDS. Safe to repeat, and to run in several workers at once."""
    deadline = time.monotonic() + REMOVE_SECONDS
    with sessions() as session:
        deleted = select(Tenant.id).where(Tenant.deleted_at.is_not(None)).order_by(Tenant.deleted_at).limit(AT_ONCE)
        tenant_ids = session.scalars(deleted).all()
    for tenant_id in tenant_ids:
        for _ in _steps(sessions, blobs, checkpoints, tenant_id):
            if time.monotonic() > deadline:
                return
        logger.info("tenant %s is removed", tenant_id)


def _steps(
    sessions: sessionmaker[Session], blobs: BlobStore, checkpoints: CheckpointStore, tenant_id: str
) -> Iterator[None]:
    """Remove everything of one tenant and then the tenant, as a generator that yields after each step."""
    while found := _some(sessions, tenant_id, Job):
        # A worker that trains one of them notices with its next report that the row is gone, and writes nothing.
        _remove(sessions, tenant_id, Job, found)
        for job_id in found:
            checkpoints.delete(job_id)
        yield
    for model in (Dataset, Collection):
        while found := _some(sessions, tenant_id, model, 1):
            blobs.delete_before(found[0])
            _remove(sessions, tenant_id, model, found)
            blobs.delete_before(found[0])  # what an upload of the version before added between the two
            yield
    while _remove_images(sessions, blobs, tenant_id):
        yield
    while found := _some(sessions, tenant_id, Adapter):
        _remove(sessions, tenant_id, Adapter, found)
        yield
    blobs.delete_tenant(tenant_id)
    _remove_tenant(sessions, tenant_id)
    blobs.delete_tenant(tenant_id)  # what an upload added between the two


Table = type[Job] | type[Dataset] | type[Collection] | type[Adapter]


def _some(sessions: sessionmaker[Session], tenant_id: str, model: Table, limit: int = AT_ONCE) -> list[str]:
    """The ids of up to `limit` rows that are left."""
    with sessions() as session:
        return list(session.scalars(select(model.id).where(Scope(session, tenant_id).owns(model)).limit(limit)))


def _remove(sessions: sessionmaker[Session], tenant_id: str, model: Table, found: list[str]) -> None:
    with sessions.begin() as session:
        session.execute(delete(model).where(Scope(session, tenant_id).owns(model), among(model.id, found)))


def _remove_images(sessions: sessionmaker[Session], blobs: BlobStore, tenant_id: str) -> int:
    with sessions.begin() as session:
        return images.remove_some(Scope(session, tenant_id), blobs, images.RELEASED_AT_ONCE)


def _remove_tenant(sessions: sessionmaker[Session], tenant_id: str) -> None:
    """Delete the tenant's row and what depends on it; its audit log keeps the events about the tenant itself."""
    with sessions.begin() as session:
        session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update())  # waits for who adds a row
        of_things = (Scope(session, tenant_id).owns(AuditEvent), AuditEvent.subject_id != tenant_id)
        session.execute(delete(AuditEvent).where(*of_things))
        session.execute(delete(IdempotencyRecord).where(IdempotencyRecord.owner == tenant_id))
        session.execute(delete(Tenant).where(Tenant.id == tenant_id, Tenant.deleted_at.is_not(None)))
