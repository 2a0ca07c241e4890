"""The size of request bodies, kept before anything reads them."""

from __future__ import annotations

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import saft_problem
from saft_core.errors import TooLarge

MAX_JSON_BYTES = 64 << 20
"""A body that is not multipart is held in memory as a whole, and partly before the key is looked at."""


class BodyLimit:
    """ASGI middleware: a body above its limit is refused, before it is read where its length is announced.

    A multipart body may have `max_upload_bytes`, any other MAX_JSON_BYTES of them at most.
    """

    def __init__(self, app: ASGIApp, max_upload_bytes: int) -> None:
        self._app = app
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        error = self._error_of(headers.get(b"content-type", b""))
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > error.details["limit_bytes"]:
            await saft_problem(Request(scope), error)(scope, receive, send)
        else:
            await self._app(scope, _counted(receive, error), send)

    def _error_of(self, content_type: bytes) -> TooLarge:
        """The error that a body of this type meets at its limit."""
        if content_type.startswith(b"multipart/") or self._max_upload_bytes <= MAX_JSON_BYTES:
            limit, name, advice = self._max_upload_bytes, "max_upload_bytes", "send it in parts"
        else:
            limit, name, advice = MAX_JSON_BYTES, "MAX_JSON_BYTES", "send images as multipart/form-data"
        return TooLarge(f"the request is larger than {limit:,} bytes ({name}); {advice}", limit_bytes=limit)


def _counted(receive: Receive, error: TooLarge) -> Receive:
    """`receive`, raising `error` once more bytes came than its limit."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > error.details["limit_bytes"]:
            raise error
        return message

    return counted
