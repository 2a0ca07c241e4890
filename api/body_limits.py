"""Middleware that limits request bodies: their framing, size, pace, and the memory or disk that they take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.concurrency.budget import Budget
from api.errors import saft_problem
from saft_core.errors import BadFraming, SaftError, SlowBody, TooLarge
from saft_core.settings import Settings

Headers = Mapping[bytes, bytes]
CALLER = "caller"
"""The attribute of `request.state` with the owner of an authenticated key; unauthenticated callers are NOBODY."""
NOBODY = ""


def is_multipart(content_type: str) -> bool:
    """Whether a body of this type is spooled to a temporary file instead of memory."""
    return content_type.lower().startswith("multipart/")


@dataclass(frozen=True)
class Pace:
    """The slowest pace of a body: `min_bytes` in each `window_seconds`, and all of it in `total_seconds`."""

    min_bytes: float
    window_seconds: float
    total_seconds: float


@dataclass(frozen=True)
class BodyLimits:
    """The limits of bodies in memory, or of those on disk: of one body, and the budget that all of them share.

    limit: the setting's name. advice: what the error tells the caller to do.
    """

    max_bytes: int
    limit: str
    advice: str
    budget: Budget

    def too_large(self) -> TooLarge:
        """The error of a body above the limit."""
        message = f"the request is larger than {self.max_bytes:,} bytes ({self.limit}); {self.advice}"
        return TooLarge(message, limit_bytes=self.max_bytes)


class BodyGuard:
    """ASGI middleware that refuses bodies which are too large, too slow, or do not fit into the budget.

    Nothing is reserved or awaited before the application asks for the body, so that a request without a valid key
    reserves nothing. The refusal replaces the application's response, unless that has begun.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        limits = settings.limits
        in_memory = min(limits.max_json_bytes, limits.max_upload_bytes)
        name = "max_json_bytes" if in_memory == limits.max_json_bytes else "max_upload_bytes"
        # At least one body of the greatest size fits, whatever the settings say.
        memory = Budget("body_memory_bytes", max(settings.body_memory_bytes, in_memory))
        disk = Budget("body_disk_bytes", max(settings.body_disk_bytes, limits.max_upload_bytes))
        self._in_memory = BodyLimits(in_memory, name, "send images as multipart/form-data", memory)
        self._spooled = BodyLimits(limits.max_upload_bytes, "max_upload_bytes", "send it in parts", disk)
        self._pace = Pace(
            settings.min_body_bytes_per_second * settings.body_patience_seconds,
            settings.body_patience_seconds,
            settings.max_body_seconds,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        kind = self._spooled if is_multipart(headers.get(b"content-type", b"").decode("latin-1")) else self._in_memory
        body = _Body(scope, _announced(headers), receive, send, kind, self._pace)
        try:
            body.refusal = _flaw(scope["http_version"], headers, kind)
            if body.refusal is None:
                await self._app(scope, body.receive, body.send)
        except Exception:
            if body.refusal is None or body.answered:
                raise
        finally:
            body.close()
        if body.refusal is not None and not body.answered:
            await saft_problem(Request(scope), body.refusal)(scope, receive, send)


def _flaw(http_version: str, headers: Headers, kind: BodyLimits) -> SaftError | None:
    """The error of a body that its headers show already, or None."""
    if b"transfer-encoding" in headers and (b"content-length" in headers or http_version == "1.0"):
        return BadFraming()
    return kind.too_large() if _announced(headers) > kind.max_bytes else None


def _announced(headers: Headers) -> int:
    text = headers.get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0


class _Body:
    """The body of one request on its way to the application."""

    def __init__(
        self, scope: Scope, announced: int, receive: Receive, send: Send, kind: BodyLimits, pace: Pace
    ) -> None:
        self._receive, self._send, self._kind, self._pace = receive, send, kind, pace
        self._state = scope.setdefault("state", {})
        self._announced = announced
        self._caller: str | None = None
        self._taken = self._received = self._in_window = 0
        self._seconds = self._window_seconds = 0.0
        self._complete = False
        self.refusal: SaftError | None = None
        self.answered = False

    async def receive(self) -> Message:
        """The next ASGI message. Raises TooLarge, SlowBody, or Busy where it does not fit into the budget."""
        if self._complete:
            return await self._receive()
        try:
            await self._begin()
            message = await self._next()
            await self._count(len(message.get("body", b"")))
        except SaftError as error:
            self.refusal = error
            raise
        self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass the response on, unless the request was refused before it began."""
        if self.refusal is None or self.answered:
            self.answered = True
            await self._send(message)

    def close(self) -> None:
        """Release what the body reserved."""
        if self._caller is not None:
            self._kind.budget.release(self._caller, self._taken)

    async def _begin(self) -> None:
        """At the first read: who sends the body; only for authenticated callers is the announced size reserved."""
        if self._caller is None:
            self._caller = self._state.get(CALLER, NOBODY)
            await self._take(self._announced if self._caller != NOBODY else 0)

    async def _next(self) -> Message:
        """The next message, if it comes in time. Only waiting for the client counts."""
        pace, started = self._pace, time.monotonic()
        left = min(pace.window_seconds - self._window_seconds, pace.total_seconds - self._seconds)
        with anyio.move_on_after(left):
            message = await self._receive()
            waited = time.monotonic() - started
            self._seconds += waited
            self._window_seconds += waited
            return message
        raise SlowBody

    async def _count(self, size: int) -> None:
        self._received += size
        self._in_window += size
        if self._received > self._kind.max_bytes:
            raise self._kind.too_large()
        if self._in_window >= self._pace.min_bytes:
            self._in_window, self._window_seconds = 0, 0.0
        await self._take(self._received)

    async def _take(self, wanted: int) -> None:
        """Reserve `wanted` bytes in all."""
        if wanted > self._taken:
            await self._kind.budget.acquire(self._caller or NOBODY, wanted - self._taken)
            self._taken = wanted
