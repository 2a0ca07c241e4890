"""Idempotency-Key: the second request with a key gets the answer of the first.

The record is written in the transaction that does the work, so a crash leaves both or neither. A concurrent request
with the same key waits in PostgreSQL until that transaction ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from saft_core.errors import IdempotencyMismatch
from saft_core.store.models import IdempotencyRecord

KEEP_FOR = timedelta(hours=24)


@dataclass(frozen=True)
class StoredAnswer:
    """The answer of the first request."""

    status: int
    body: dict[str, Any]
    location: str | None


def begin(session: Session, owner: str, key: str, request_sha256: str) -> StoredAnswer | None:
    """Take the key for this request (None), or return the answer of an earlier request with it.

    Raises IdempotencyMismatch if the earlier request was a different one.
    """
    taken = session.execute(
        insert(IdempotencyRecord)
        .values(owner=owner, key=key, request_sha256=request_sha256)
        .on_conflict_do_nothing()
        .returning(IdempotencyRecord.key)
    ).first()
    return None if taken is not None else find(session, owner, key, request_sha256)


def find(session: Session, owner: str, key: str, request_sha256: str) -> StoredAnswer | None:
    """The answer of an earlier request with the key; None without one, and the key is not taken.

    Raises IdempotencyMismatch if the earlier request was a different one.
    """
    record = session.get(IdempotencyRecord, (owner, key))
    if record is None:
        return None
    if record.request_sha256 != request_sha256:
        raise IdempotencyMismatch
    return StoredAnswer(record.status or 500, record.body or {}, record.location)


def complete(session: Session, owner: str, key: str, answer: StoredAnswer) -> None:
    """Store the answer, in the same transaction as `begin`."""
    record = session.get_one(IdempotencyRecord, (owner, key))
    record.status, record.body, record.location = answer.status, answer.body, answer.location
    session.flush()


def purge(session: Session) -> None:
    """Delete records older than KEEP_FOR."""
    session.execute(delete(IdempotencyRecord).where(IdempotencyRecord.created_at < func.clock_timestamp() - KEEP_FOR))
