from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, text, update
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import IdempotencyMismatch
from saft_core.store import idempotency
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.models import IdempotencyRecord

ANSWER = StoredAnswer(201, {"id": "x", "none": None}, "/things/x")


def do(
    sessions: sessionmaker[Session], owner: str = "ten", key: str = "k", request: str = "hash"
) -> StoredAnswer | None:
    """One request; what it got from an earlier one."""
    with sessions.begin() as session:
        before = idempotency.begin(session, owner, key, request)
        if before is None:
            idempotency.complete(session, owner, key, ANSWER)
        return before


def test_the_second_request_gets_the_first_ones_answer(sessions: sessionmaker[Session]) -> None:
    assert do(sessions) is None
    assert do(sessions) == ANSWER
    assert do(sessions) == ANSWER


def test_keys_of_different_owners_and_different_keys_have_nothing_in_common(sessions: sessionmaker[Session]) -> None:
    assert [do(sessions, owner, key) for owner in ("a", "b") for key in ("1", "2")] == [None] * 4


def test_a_look_takes_nothing(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        assert idempotency.find(session, "ten", "k", "hash") is None
    assert do(sessions) is None
    with sessions() as session:
        assert idempotency.find(session, "ten", "k", "hash") == ANSWER
        with pytest.raises(IdempotencyMismatch):
            idempotency.find(session, "ten", "k", "other hash")


def test_another_request_under_the_same_key_is_refused(sessions: sessionmaker[Session]) -> None:
    do(sessions)
    with pytest.raises(IdempotencyMismatch):
        do(sessions, request="other hash")


def test_a_request_that_failed_leaves_its_key_free(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        assert idempotency.begin(session, "ten", "k", "hash") is None
        session.rollback()
    assert do(sessions, request="other hash") is None


def test_a_concurrent_request_waits_for_the_first_one(sessions: sessionmaker[Session]) -> None:
    holding, second_is_waiting = threading.Event(), threading.Event()

    def first() -> None:
        with sessions.begin() as session:
            assert idempotency.begin(session, "ten", "k", "hash") is None
            holding.set()
            assert second_is_waiting.wait(30)
            idempotency.complete(session, "ten", "k", ANSWER)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert holding.wait(30)
        two = pool.submit(do, sessions)
        until_somebody_waits_for_a_lock(sessions)
        assert not two.done()
        second_is_waiting.set()
        one.result(30)
        assert two.result(30) == ANSWER


def until_somebody_waits_for_a_lock(sessions: sessionmaker[Session]) -> None:
    deadline = time.monotonic() + 30
    with sessions() as session:
        while not session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            assert time.monotonic() < deadline, "nobody waits for a lock"
            session.rollback()


def test_only_records_of_more_than_a_day_are_forgotten(sessions: sessionmaker[Session]) -> None:
    do(sessions, key="old")
    do(sessions, key="new")
    with sessions.begin() as session:
        age = func.clock_timestamp() - idempotency.KEEP_FOR * 1.01
        session.execute(update(IdempotencyRecord).where(IdempotencyRecord.key == "old").values(created_at=age))
    with sessions.begin() as session:
        idempotency.purge(session)
    assert do(sessions, key="new") == ANSWER
    assert do(sessions, key="old") is None
