from __future__ import annotations

import asyncio

import pytest

from api.concurrency import budget
from api.concurrency.budget import Budget
from saft_core.errors import Busy


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "WAIT_SECONDS", 0.1)


def test_bytes_are_taken_and_given_back() -> None:
    async def scene() -> None:
        shared = Budget("limit", 100)
        await shared.acquire("a", 40)
        await shared.acquire("", 60)
        assert shared.taken == 100
        with pytest.raises(Busy, match="100 of 100 bytes \\(limit\\)"):
            await shared.acquire("c", 1)
        shared.release("a", 40)
        await shared.acquire("c", 40)
        for caller, count in (("", 60), ("c", 40), ("nobody", 0)):
            shared.release(caller, count)
        assert shared.taken == 0

    asyncio.run(scene())


def test_one_caller_gets_half_and_always_one_request() -> None:
    async def scene() -> None:
        shared = Budget("limit", 100)
        await shared.acquire("a", 80)
        with pytest.raises(Busy):
            await shared.acquire("a", 1)
        await shared.acquire("", 10)
        await shared.acquire("", 10)

    asyncio.run(scene())


def test_who_does_not_fit_waits_for_what_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "WAIT_SECONDS", 60)

    async def scene() -> None:
        shared = Budget("limit", 100)
        await shared.acquire("a", 100)
        waiting = [asyncio.create_task(shared.acquire(caller, 50)) for caller in ("", "c")]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        shared.release("a", 100)
        await asyncio.gather(*waiting)
        assert shared.taken == 100

    asyncio.run(scene())
