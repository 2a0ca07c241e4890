"""Loading of Gradio in the background, which takes seconds; until then the page answers 503 and reloads itself."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from saft_client import ApiError
from ui.answers import RETRY_AFTER_SECONDS, problem

STARTING = ApiError("starting", "The page is starting. It will be here in a few seconds.", 503)
FAILED = ApiError("page_failed", "The page could not be loaded. The log of the service says why.", 500)
HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">{refresh}<title>SAFT</title>
<style>:root {{ color-scheme: light dark }} body {{ font: 1em system-ui; margin-top: 20vh; text-align: center }}</style>
</head><body><p role="status">{words}</p></body></html>
"""
REFRESH = f'<meta http-equiv="refresh" content="{RETRY_AFTER_SECONDS}">'

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Page:
    """Gradio's application as it is now: an ASGI application that says 503 and why until the page is loaded."""

    def __init__(self, build: Callable[[], Starlette], then: Callable[[], object] = lambda: None) -> None:
        self._build = build
        self._then = then
        self._shown: Starlette | None = None
        self._absence = STARTING

    @cached_property
    def built(self) -> Starlette:
        """The page, loaded when first asked for."""
        return self._build()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        answer = self._shown if self._shown else self._absent(Request(scope))
        await answer(scope, receive, send)

    def live_in(self, app: Starlette) -> None:
        """Have the page loaded when `app` has started, and there until it ends."""
        before = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(running: Any) -> AsyncIterator[Any]:
            async with before(running) as state, AsyncExitStack() as stack:
                loading = asyncio.create_task(self._load(stack))
                try:
                    yield state
                finally:
                    loading.cancel()  # nothing, once it has ended
                    await asyncio.wait([loading])

        app.router.lifespan_context = lifespan

    async def _load(self, stack: AsyncExitStack) -> None:
        try:
            built = await _in_thread(lambda: self.built)
            await stack.enter_async_context(built.router.lifespan_context(built))
            self._shown = built
        except Exception:
            logger.exception("the page could not be loaded; all else goes on")
            self._absence = FAILED
        self._then()

    def _absent(self, request: Request) -> Response:
        """Problem details; for a browser that opens the page, a text that asks again by itself."""
        answer = problem(request, self._absence)
        if request.url.path != "/":
            return answer
        refresh = REFRESH if self._absence is STARTING else ""
        headers = {name: answer.headers[name] for name in ("cache-control", "retry-after") if name in answer.headers}
        return HTMLResponse(HTML.format(refresh=refresh, words=self._absence.detail), answer.status_code, headers)


def _in_thread(work: Callable[[], Result]) -> asyncio.Future[Result]:
    """What `work` gives, in a thread that ends with the process; a pool's would be waited for."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # an exit is the page's end alone, and no future takes a StopIteration
            ordinary = isinstance(error, Exception) and not isinstance(error, StopIteration)
            future.set_exception(error if ordinary else RuntimeError(repr(error)))

    threading.Thread(target=run, name="saft-page", daemon=True).start()
    return asyncio.wrap_future(future)
