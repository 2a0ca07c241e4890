"""The drivers that do the I/O of flows: `SyncDriver` by httpx.Client, `AsyncDriver` by httpx.AsyncClient."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any, TypeVar

import httpx

from saft_client._events import awaited_events, events
from saft_client._flow import Answer, Flow, Items, Next, Open, Run, Sleep, Yield
from saft_client._requests import CONNECT_SECONDS, WRITE_SECONDS, Request
from saft_client.errors import ConfigurationError

T = TypeVar("T")
RETRIES = 4

# In a header, what controls it would end it; the error of the HTTP library would show the key.
_KEY = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")


def address(url: str | None) -> httpx.URL:
    """The service's address: `url`, or SAFT_URL. Raises ConfigurationError."""
    text = url or os.environ.get("SAFT_URL") or ""
    if not text:
        raise ConfigurationError("no address: give url, or set SAFT_URL (such as http://localhost:8000)")
    try:
        found = httpx.URL(text.strip())
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"url: {error}") from None
    if found.scheme not in ("http", "https") or not found.host:
        raise ConfigurationError("url: give an address such as http://localhost:8000")
    if found.userinfo:
        raise ConfigurationError("url: it has a user or a password in it; the key alone opens the service")
    return found


def authorization(key: str | None) -> dict[bytes, bytes]:
    """The header with `key`, or with SAFT_API_KEY. Raises ConfigurationError, without showing the key."""
    text = (key or os.environ.get("SAFT_API_KEY") or "").strip()
    if not text:
        raise ConfigurationError("no key: give api_key, or set SAFT_API_KEY")
    if not _KEY.fullmatch(text):
        raise ConfigurationError("api_key: it has a character in it that no key has, such as a line break")
    return {b"Authorization": b"Bearer " + text.encode()}


def http_options(url: str | None, key: str | None, verify: ssl.SSLContext | bool, trust_env: bool) -> dict[str, Any]:
    """The arguments of httpx.Client and httpx.AsyncClient.

    No redirect is followed, so that the key goes to no other host. Of encodings only gzip is accepted: others may
    decompress a chunk to any size.
    """
    return {
        "base_url": address(url),
        "headers": httpx.Headers(authorization(key) | {b"Accept-Encoding": b"gzip"}),
        "verify": verify,
        "trust_env": trust_env,
        "follow_redirects": False,
    }


def built(http: httpx.Client | httpx.AsyncClient, request: Request, seconds: float | None = None) -> httpx.Request:
    """The request of httpx. seconds: the read timeout, instead of the request's own."""
    wait = httpx.Timeout(seconds or request.answer_seconds, connect=CONNECT_SECONDS, write=WRITE_SECONDS)
    return http.build_request(
        request.method,
        request.path.removeprefix("/"),
        params=dict(request.params) or None,
        json=request.json,
        data=None if request.form is None else dict(request.form),
        files=list(request.files) or None,
        headers=dict(request.headers) | ({"Accept": "text/event-stream"} if request.events else {}),
        timeout=wait,
    )


def is_stream(step: Open, response: httpx.Response) -> bool:
    """Whether the response is read as server-sent events; an error response is a document all the same."""
    return step.request.events and response.is_success


class SyncDriver:
    """Runs flows in the caller's thread."""

    def __init__(self, http: httpx.Client, retries: int) -> None:
        self.http = http
        self.retries = retries

    def run(self, flow: Flow[T]) -> T:
        """The result of a flow."""
        run = Run(flow)
        for _ in self._steps(run):
            pass
        result: T = run.result
        return result

    def each(self, flow: Items[T]) -> Iterator[T]:
        """The items of a flow."""
        yield from self._steps(Run(flow))

    def _steps(self, run: Run) -> Iterator[Any]:
        with ExitStack() as opened:
            while (step := run.step) is not None:
                if isinstance(step, Yield):
                    yield step.item
                    run.answer()
                    continue
                try:
                    outcome = self._do(step, opened)
                except Exception as error:
                    run.fail(error)
                else:
                    run.answer(outcome)

    def _do(self, step: Open | Next | Sleep, opened: ExitStack) -> object:
        if isinstance(step, Sleep):
            time.sleep(step.seconds)
            return None
        if isinstance(step, Next):
            return next(step.answer.parts, None)
        opened.close()
        response = self.http.send(built(self.http, step.request), stream=True)
        opened.callback(response.close)
        return Answer(response, events(response) if is_stream(step, response) else response.iter_bytes())


class AsyncDriver:
    """Runs flows in an event loop of asyncio."""

    def __init__(self, http: httpx.AsyncClient, retries: int) -> None:
        self.http = http
        self.retries = retries

    async def run(self, flow: Flow[T]) -> T:
        """The result of a flow."""
        run = Run(flow)
        async for _ in self._steps(run):
            pass
        result: T = run.result
        return result

    async def each(self, flow: Items[T]) -> AsyncIterator[T]:
        """The items of a flow."""
        async for item in self._steps(Run(flow)):
            yield item

    async def _steps(self, run: Run) -> AsyncIterator[Any]:
        async with AsyncExitStack() as opened:
            while (step := run.step) is not None:
                if isinstance(step, Yield):
                    yield step.item
                    run.answer()
                    continue
                try:
                    outcome = await self._do(step, opened)
                except Exception as error:
                    run.fail(error)
                else:
                    run.answer(outcome)

    async def _do(self, step: Open | Next | Sleep, opened: AsyncExitStack) -> object:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        if isinstance(step, Next):
            return await anext(step.answer.parts, None)
        await opened.aclose()
        response = await self.http.send(built(self.http, step.request), stream=True)
        opened.push_async_callback(response.aclose)
        return Answer(response, awaited_events(response) if is_stream(step, response) else response.aiter_bytes())
