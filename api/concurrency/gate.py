"""The concurrency gate before the engine: how many requests are in, how many of them compute, whose turn is next."""

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
    """A concurrency limit of `requests` for all tenants, of which `turns` compute at once, tenants in fair turns.

    A request that waits for its turn holds no thread. limit: the name of the setting that says how many requests.
    """

    def __init__(self, limit: str, requests: int, turns: int) -> None:
        self.slots = Slots(requests, limit)
        self._threads = CapacityLimiter(requests)
        self.turns = Turns(turns)

    async def run(self, tenant_id: str, work: Callable[[], Answer], gone: Gone) -> Answer:
        """The result of `work()` in a thread, once it is the tenant's turn.

        gone: returns when the client has disconnected. Raises Busy where there are too many requests, and
        ClientDisconnect when the client left before the turn came.
        """
        with self.slots.acquired(tenant_id):
            await self._turn(tenant_id, gone)
            caller = Caller(tenant_id, self.turns)
            token = CLIENT.set(caller)
            try:
                return await anyio.to_thread.run_sync(work, limiter=self._threads)
            finally:
                CLIENT.reset(token)
                caller.close()

    async def _turn(self, tenant_id: str, gone: Gone) -> None:
        wait = self.turns.enqueue(tenant_id)
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
