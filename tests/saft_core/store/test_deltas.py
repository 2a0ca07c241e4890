from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import NotFound, Unavailable
from saft_core.store import adapters, deltas
from saft_core.store.models import AdapterDelta
from saft_core.store.scope import Scope
from tests.fixtures.queue import adapter_row
from tests.fixtures.tenants import add_adapter, add_tenant


def test_the_engine_loads_by_id(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        adapter = add_adapter(add_tenant(session), "a", b"\x00\xff" * 1000)
    assert deltas.load(sessions, adapter.id) == (b"\x00\xff" * 1000, None)
    with pytest.raises(NotFound, match="ad_unknown"):
        deltas.load(sessions, "ad_unknown")


def test_an_adapter_of_the_version_before_answers_once_it_is_rewritten(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        scope = add_tenant(session)
        adapter = add_adapter(scope, "a")
        session.execute(update(AdapterDelta).values(delta=None, container=b"version 2"))
        with pytest.raises(Unavailable, match="started anew"):
            deltas.container(scope, adapter.id)
    with pytest.raises(Unavailable, match=adapter.id):
        deltas.load(sessions, adapter.id)


def test_container_and_class_embeddings_are_read_at_once(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        scope = add_tenant(session)
        adapter = adapters.add(scope, adapter_row("a"), b"container", class_embeddings=b"embeddings")
    asked: list[str] = []

    def note(*given: Any) -> None:
        asked.append(given[2])

    event.listen(sessions.kw["bind"], "before_cursor_execute", note)
    try:
        assert deltas.load(sessions, adapter.id) == (b"container", b"embeddings")
    finally:
        event.remove(sessions.kw["bind"], "before_cursor_execute", note)
    assert len(asked) == 1


def test_the_class_embeddings_go_with_the_adapter(session: Session, scope: Scope) -> None:
    adapter = adapters.add(scope, adapter_row("a"), b"container", class_embeddings=b"embeddings")
    assert deltas.container(scope, adapter.id) == b"container"
    scope.delete(adapter)
    assert session.query(AdapterDelta).count() == 0
