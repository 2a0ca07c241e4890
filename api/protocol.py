"""uvicorn's HTTP/1.1 protocol (h11), hardened: a deadline for request heads, problem details for broken HTTP."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.errors import document


class EdgeProtocol(H11Protocol):
    """Closes a connection whose next request head is not complete in time, and answers broken HTTP with 400.

    uvicorn alone waits without limit for the rest of a head, and for the rest of a body that was refused.
    """

    head_seconds: ClassVar[float] = 30.0
    """Seconds until a request head must be complete, counted from the connection or from the response before."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the timer once a request is under way."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        super().connection_lost(exc)
        self._stop_watch()

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP with problem details and close: the start of the next request cannot be found."""
        body = json.dumps(document(HTTPStatus.BAD_REQUEST, "bad_request", msg, "/")).encode()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        answer = (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in answer))
        self.transport.close()

    def _watch(self) -> None:
        under_way: Any = self.cycle is not None and not self.cycle.response_complete
        if under_way:
            self._stop_watch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_watch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
