"""The audit log: what was created, changed and deleted, by whose key, and when.

An event is written in the transaction that does what it tells of, so there is never one without the other. `Scope`
writes those of rows that it adds and deletes; what is done in another way writes its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func

from saft_core.store.models import Adapter, AuditEvent, Collection, CollectionImage, Dataset, Job, Owned, TenantKey

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from saft_core.store.scope import Scope

KEEP_FOR = timedelta(days=365)
ADMIN = "admin"
"""Stands for a key's id where the admin key did it."""
WRITTEN: dict[type[Owned], str] = {
    Adapter: "adapter",
    Collection: "collection",
    CollectionImage: "image",
    Dataset: "dataset",
    Job: "job",
    TenantKey: "key",
}
"""What `Scope` adds and deletes by itself, and what its events call it."""


def note(scope: Scope, action: str, subject_id: str, **details: Any) -> None:
    """Write that the holder of the scope's key did this."""
    event = AuditEvent(key_id=scope.key_id, action=action, subject_id=subject_id, details=details)
    event.tenant_id = scope.tenant_id
    scope.session.add(event)


def note_row(scope: Scope, done: str, row: Owned) -> None:
    """The same of a row that was "created" or "deleted", if it is of a kind that is written down."""
    kind = WRITTEN.get(type(row))
    if kind is not None:
        name = getattr(row, "filename", None) or getattr(row, "name", None)
        note(scope, f"{kind}.{done}", row.id, name=name)  # type: ignore[attr-defined]


def purge(session: Session) -> None:
    """Forget events older than KEEP_FOR."""
    session.execute(delete(AuditEvent).where(AuditEvent.created_at < func.clock_timestamp() - KEEP_FOR))
