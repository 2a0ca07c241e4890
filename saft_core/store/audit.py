"""The audit log: what was created, changed and deleted, with which key, and when.

An event is written in the transaction of the change itself. `Scope` writes the events of rows that it adds and deletes;
code that changes rows in another way calls `note`.
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
"""Stands in place of a key's id for what was done with the admin key."""
WRITTEN: dict[type[Owned], str] = {
    Adapter: "adapter",
    Collection: "collection",
    CollectionImage: "image",
    Dataset: "dataset",
    Job: "job",
    TenantKey: "key",
}
"""The tables of which `Scope` logs added and deleted rows, with their names in events."""


def note(scope: Scope, action: str, subject_id: str, **details: Any) -> None:
    """Log an action of the scope's key on the row with the id `subject_id`."""
    event = AuditEvent(key_id=scope.key_id, action=action, subject_id=subject_id, details=details)
    event.tenant_id = scope.tenant_id
    scope.session.add(event)


def note_row(scope: Scope, done: str, row: Owned) -> None:
    """Log that a row was `done` ("created" or "deleted"), if its table is one of WRITTEN."""
    kind = WRITTEN.get(type(row))
    if kind is not None:
        name = getattr(row, "filename", None) or getattr(row, "name", None)
        note(scope, f"{kind}.{done}", row.id, name=name)  # type: ignore[attr-defined]


def purge(session: Session) -> None:
    """Delete events older than KEEP_FOR."""
    session.execute(delete(AuditEvent).where(AuditEvent.created_at < func.clock_timestamp() - KEEP_FOR))
