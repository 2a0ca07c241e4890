"""Server-sent events of an open response, read by httpx-sse, with the bound on their size that httpx-sse has not."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

import httpx
from httpx_sse import EventSource, ServerSentEvent

from saft_client.errors import UnexpectedAnswer

EVENT_BYTES = 16 << 20
"""Of an event, which has the whole curve of the job in it: half a million steps."""


class _Bound:
    """Counts the bytes that came since the last event, comments among them."""

    def __init__(self) -> None:
        self.size = 0

    def passed(self, chunk: bytes) -> bytes:
        """The chunk. Raises UnexpectedAnswer beyond EVENT_BYTES."""
        self.size += len(chunk)
        if self.size > EVENT_BYTES:
            raise UnexpectedAnswer(f"An event is larger than {EVENT_BYTES >> 20} MiB.")
        return chunk


def events(response: httpx.Response) -> Iterator[ServerSentEvent]:
    """The events as they come. Raises httpx.HTTPError, also for another content type, and UnexpectedAnswer."""
    bound = _Bound()
    for event in _source(response, map(bound.passed, response.iter_bytes())).iter_sse():
        bound.size = 0
        yield event


async def awaited_events(response: httpx.Response) -> AsyncIterator[ServerSentEvent]:
    """`events` of a response of httpx.AsyncClient."""
    bound = _Bound()
    chunks = (bound.passed(chunk) async for chunk in response.aiter_bytes())
    async for event in _source(response, chunks).aiter_sse():
        bound.size = 0
        yield event


def _source(response: httpx.Response, chunks: Iterable[bytes] | AsyncIterable[bytes]) -> EventSource:
    headers = {"Content-Type": response.headers.get("content-type", "")}
    return EventSource(httpx.Response(response.status_code, headers=headers, content=chunks))
