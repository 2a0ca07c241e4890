"""Removing all that a deleted tenant had: rows, files, checkpoints.

What is removed goes files first and row second, one thing a transaction, the tenant's own row last: the rows that are
left are what is left to do, so a kill at any moment costs nothing but the step under way. (Of a job the row goes first,
for its worker to see; a state without a job is swept by `housekeeping`.) An upload that was under way
at the deletion finds no tenant in the end; files that it left are a folder without a tenant to `housekeeping`.
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
"""How long one sweep removes; the next one goes on. Lost jobs wait no longer to be published."""
AT_ONCE = 100
"""Jobs or adapters that one transaction removes."""

logger = logging.getLogger(__name__)


def sweep(sessions: sessionmaker[Session], blobs: BlobStore, checkpoints: CheckpointStore) -> None:
    """Go on removing deleted tenants, for REMOVE_SECONDS. Safe to do twice and by several workers at once."""
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
    """Everything of one tenant, then the tenant; control comes back after each step."""
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


Thing = type[Job] | type[Dataset] | type[Collection] | type[Adapter]


def _some(sessions: sessionmaker[Session], tenant_id: str, model: Thing, limit: int = AT_ONCE) -> list[str]:
    """Ids of some rows that are left."""
    with sessions() as session:
        return list(session.scalars(select(model.id).where(Scope(session, tenant_id).owns(model)).limit(limit)))


def _remove(sessions: sessionmaker[Session], tenant_id: str, model: Thing, found: list[str]) -> None:
    with sessions.begin() as session:
        session.execute(delete(model).where(Scope(session, tenant_id).owns(model), among(model.id, found)))


def _remove_images(sessions: sessionmaker[Session], blobs: BlobStore, tenant_id: str) -> int:
    with sessions.begin() as session:
        return images.remove_some(Scope(session, tenant_id), blobs, images.RELEASED_AT_ONCE)


def _remove_tenant(sessions: sessionmaker[Session], tenant_id: str) -> None:
    """The tenant's own row and what has no other; of the audit log stays what is about the tenant itself."""
    with sessions.begin() as session:
        session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update())  # waits for who adds a row
        of_things = (Scope(session, tenant_id).owns(AuditEvent), AuditEvent.subject_id != tenant_id)
        session.execute(delete(AuditEvent).where(*of_things))
        session.execute(delete(IdempotencyRecord).where(IdempotencyRecord.owner == tenant_id))
        session.execute(delete(Tenant).where(Tenant.id == tenant_id, Tenant.deleted_at.is_not(None)))
