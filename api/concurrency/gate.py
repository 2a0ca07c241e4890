"""Who comes in: requests of many tenants that want the engine, each tenant in a line of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect

from api.concurrency.slots import Slots
from api.concurrency.turns import Caller, Turns
from saft_core.serving.shares import CLIENT

Answer = TypeVar("Answer")
Gone = Callable[[], Coroutine[Any, Any, None]]


class Gate:
    """Slots for `requests` of all tenants, and threads for those whose turn it is.

    Those who wait hold no thread.

    limit: the setting that says how many requests. turns: how many of them compute at once.
    """

    def __init__(self, limit: str, requests: int, turns: int) -> None:
        self.places = Slots(requests, limit)
        self._threads = CapacityLimiter(requests)
        self.turns = Turns(turns)

    async def run(self, tenant_id: str, work: Callable[[], Answer], gone: Gone) -> Answer:
        """`work()` in a thread, when it is the tenant's turn; `gone` returns when nobody waits for the answer any more.

        Raises Busy, and ClientDisconnect when that came before the turn.
        """
        with self.places.held(tenant_id):
            await self._turn(tenant_id, gone)
            caller = Caller(tenant_id, self.turns)
            token = CLIENT.set(caller)
            try:
                return await anyio.to_thread.run_sync(work, limiter=self._threads)
            finally:
                CLIENT.reset(token)
                caller.close()

    async def _turn(self, tenant_id: str, gone: Gone) -> None:
        wait = self.turns.line_up(tenant_id)
        if wait.turn.done():
            return
        come: asyncio.Future[None] = asyncio.wrap_future(wait.turn)
        leaving: asyncio.Future[None] = asyncio.ensure_future(gone())
        try:
            await asyncio.wait({come, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not come.done():
                raise ClientDisconnect
        except BaseException:
            self.turns.leave(wait)
            raise
        finally:
            leaving.cancel()
