from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from api.keys import Keys
from saft_core.errors import Unauthorized
from saft_core.store import tenants
from saft_core.store.models import Tenant


@contextmanager
def queries(sessions: sessionmaker[Session]) -> Iterator[list[str]]:
    """The statements that the database is asked within the context."""
    asked: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(sessions.kw["bind"], "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(sessions.kw["bind"], "before_cursor_execute", note)


def new_tenant(sessions: sessionmaker[Session]) -> tuple[str, str]:
    """Its id and its key."""
    key = tenants.new_key()
    with sessions.begin() as session:
        return tenants.create(session, "somebody", key).id, key


def tenant_of(keys: Keys, key: str) -> str:
    return asyncio.run(keys.holder_of(key)).tenant_id


def test_each_key_is_its_own_tenants_and_is_asked_for_once(sessions: sessionmaker[Session]) -> None:
    (first, first_key), (second, second_key) = new_tenant(sessions), new_tenant(sessions)
    keys = Keys(sessions, 60)
    with queries(sessions) as asked:
        for _ in range(3):
            assert tenant_of(keys, first_key) == first
            assert tenant_of(keys, second_key) == second
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 2


def test_a_key_is_forgotten_after_its_time(sessions: sessionmaker[Session]) -> None:
    tenant_id, key = new_tenant(sessions)
    keys = Keys(sessions, 0)
    assert tenant_of(keys, key) == tenant_id
    with sessions.begin() as session:
        session.delete(session.get_one(Tenant, tenant_id))
    with pytest.raises(Unauthorized):
        asyncio.run(keys.holder_of(key))


def test_a_strangers_key_is_asked_for_each_time(sessions: sessionmaker[Session]) -> None:
    keys, key = Keys(sessions, 60), tenants.new_key()
    with pytest.raises(Unauthorized):
        asyncio.run(keys.holder_of(key))
    with sessions.begin() as session:
        tenant_id = tenants.create(session, "new", key).id
    assert tenant_of(keys, key) == tenant_id
