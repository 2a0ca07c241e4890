from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session, sessionmaker

from api.key_cache import KeyCache
from saft_core.errors import Unauthorized
from saft_core.store import tenants
from saft_core.store.models import Tenant, TenantKey
from saft_core.store.tenants import Holder

WAIT_SECONDS = 30


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


def tenant_of(keys: KeyCache, key: str) -> str:
    return asyncio.run(keys.holder_of(tenants.hashed(key))).tenant_id


def test_each_key_is_its_own_tenants_and_is_asked_for_once(sessions: sessionmaker[Session]) -> None:
    (first, first_key), (second, second_key) = new_tenant(sessions), new_tenant(sessions)
    keys = KeyCache(sessions, 60)
    with queries(sessions) as asked:
        for _ in range(3):
            assert tenant_of(keys, first_key) == first
            assert tenant_of(keys, second_key) == second
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 2


def test_a_key_is_forgotten_after_its_time(sessions: sessionmaker[Session]) -> None:
    tenant_id, key = new_tenant(sessions)
    keys = KeyCache(sessions, 0)
    assert tenant_of(keys, key) == tenant_id
    with sessions.begin() as session:
        session.delete(session.get_one(Tenant, tenant_id))
    with pytest.raises(Unauthorized):
        asyncio.run(keys.holder_of(tenants.hashed(key)))


def test_a_strangers_key_is_asked_for_each_time(sessions: sessionmaker[Session]) -> None:
    keys, key = KeyCache(sessions, 60), tenants.new_key()
    with pytest.raises(Unauthorized):
        asyncio.run(keys.holder_of(tenants.hashed(key)))
    with sessions.begin() as session:
        tenant_id = tenants.create(session, "new", key).id
    assert tenant_of(keys, key) == tenant_id


def test_requests_that_come_together_share_one_look(sessions: sessionmaker[Session]) -> None:
    _, key = new_tenant(sessions)
    keys = KeyCache(sessions, 60)

    async def ask() -> list[Holder]:
        return await asyncio.gather(*(keys.holder_of(tenants.hashed(key)) for _ in range(20)))

    with queries(sessions) as asked:
        assert len(set(asyncio.run(ask()))) == 1
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 1


def test_a_request_that_goes_away_takes_the_look_from_nobody(sessions: sessionmaker[Session]) -> None:
    tenant_id, key = new_tenant(sessions)
    keys = KeyCache(sessions, 60)

    async def ask() -> str:
        first, second = (asyncio.ensure_future(keys.holder_of(tenants.hashed(key))) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return (await second).tenant_id

    assert asyncio.run(ask()) == tenant_id


def test_the_time_of_a_key_begins_when_the_database_is_asked(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes to answer: a revocation after the question would hold too late."""
    tenant_id, key = new_tenant(sessions)
    keys, now = KeyCache(sessions, 1), [0.0]
    monkeypatch.setattr("api.key_cache.time.monotonic", lambda: now[0])
    authenticate = tenants.authenticate_hash

    def slowly(session: Session, key_sha256: str) -> Holder:
        found = authenticate(session, key_sha256)
        now[0] += 0.7
        return found

    monkeypatch.setattr(tenants, "authenticate_hash", slowly)
    with queries(sessions) as asked:
        for _ in range(2):  # at 0, and remembered at 0.7
            assert tenant_of(keys, key) == tenant_id
        now[0] = 1.0
        tenant_of(keys, key)
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 2


def test_the_use_of_a_key_is_noted_beside_the_request(sessions: sessionmaker[Session]) -> None:
    _, key = new_tenant(sessions)
    keys = KeyCache(sessions, 0)
    with queries(sessions) as asked:
        for _ in range(5):
            asyncio.run(keys.holder_of(tenants.hashed(key)))
        deadline = time.monotonic() + WAIT_SECONDS
        while last_use(sessions) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before = len([statement for statement in asked if statement.startswith("UPDATE")])
        for _ in range(5):
            asyncio.run(keys.holder_of(tenants.hashed(key)))
        keys._notes.shutdown()
    assert len([statement for statement in asked if statement.startswith("UPDATE")]) <= max(before, 5)
    noted = last_use(sessions)
    assert noted is not None
    assert noted > datetime.now(UTC) - timedelta(minutes=1)


def last_use(sessions: sessionmaker[Session]) -> datetime | None:
    with sessions() as session:
        return session.scalars(select(TenantKey.last_used_at)).one()


def test_a_use_that_cannot_be_noted_refuses_no_request(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tenant_id, key = new_tenant(sessions)
    keys = KeyCache(sessions, 0)

    def fails(_session: Session, _key_id: str) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(tenants, "note_use", fails)
    assert tenant_of(keys, key) == tenant_id
    keys._notes.shutdown()
    assert "could not be noted" in caplog.text
