"""What is stored of an adapter to serve it: its delta container, and the embeddings of its own classes."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import NotFound, Unavailable
from saft_core.store.models import AdapterDelta
from saft_core.store.scope import Scope


class Stored(NamedTuple):
    """class_embeddings: as saft_core/delta/class_embeddings.py encodes them; None for an adapter that has none."""

    container: bytes
    class_embeddings: bytes | None


def container(scope: Scope, adapter_id: str) -> bytes:
    """The delta container of the tenant's adapter. Raises NotFound, and Unavailable as `load`."""
    return _stored(scope.session, adapter_id, scope.owns(AdapterDelta)).container


def load(sessions: sessionmaker[Session], adapter_id: str) -> Stored:
    """What the engine loads, by id alone: it gets ids that a scope has found.

    Raises NotFound, and Unavailable for an adapter that the version before has made since the last start.
    """
    with sessions() as session:
        return _stored(session, adapter_id)


def _stored(session: Session, adapter_id: str, *conditions: ColumnElement[bool]) -> Stored:
    query = select(AdapterDelta.delta, AdapterDelta.class_embeddings)
    row = session.execute(query.where(AdapterDelta.adapter_id == adapter_id, *conditions)).first()
    if row is None:
        raise NotFound(f"there is no adapter {adapter_id}")
    if row.delta is None:
        raise Unavailable(
            f"the release before this one has made the adapter {adapter_id}: it answers when a part of the service has"
            " been started anew; ask the operator"
        )
    return Stored(row.delta, row.class_embeddings)
