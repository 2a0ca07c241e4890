"""What every tab shares: the way to the service, who the visitor is, and how errors are shown."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import gradio as gr
import httpx

from saft_client import AsyncClient, SaftError
from ui import wording
from ui.uploads import Uploads
from ui.visitors import Visitor, connect

Updates = dict[Any, Any]
Choices = Sequence[tuple[str, str]]

Item = TypeVar("Item")

BASE = "base"
MAX_LISTED = 1000
MISHAP = "Something went wrong on this page. The log of the service says what. Reload the page and try again."

logger = logging.getLogger(__name__)

# For every event: hidden from Gradio's own API, and any number of visitors at a time.
EVENT: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None}
QUIET: dict[str, Any] = EVENT | {"show_progress": "hidden"}


async def some(items: AsyncIterator[Item]) -> list[Item]:
    """The first MAX_LISTED items of a list of the service."""
    found: list[Item] = []
    async for item in items:
        found.append(item)
        if len(found) == MAX_LISTED:
            break
    return found


@dataclass(frozen=True)
class Session:
    """The parts of the page that belong to no tab.

    Two hidden boxes, so that the browser holds them and the server does not: `who`, which tells one visitor from
    another and says nothing else, and `address`, the address that the browser used.
    """

    api_url: str
    uploads: Uploads
    who: gr.Textbox
    address: gr.Textbox
    transport: httpx.AsyncBaseTransport | None = None

    def client(self, visitor: Visitor) -> AsyncClient:
        """A client that speaks for the visitor."""
        return connect(self.api_url, visitor.key, transport=self.transport)


def guarded(handler: Callable[..., Awaitable[Updates]], notice: gr.HTML) -> Callable[..., Awaitable[Updates]]:
    """The handler, given the visitor before its inputs, with an error shown in `notice` instead of raised."""

    async def run(request: gr.Request, *values: Any) -> Updates:
        try:
            return await handler(_visitor(request), *values)
        except Exception as error:  # the edge of the page: a visitor never sees a stack trace
            return {notice: _said(error)}

    run.__name__ = handler.__name__
    return run


def guarded_stream(
    handler: Callable[..., AsyncIterator[Updates]], notice: gr.HTML
) -> Callable[..., AsyncIterator[Updates]]:
    """As `guarded`, for a handler that yields."""

    async def run(request: gr.Request, *values: Any) -> AsyncIterator[Updates]:
        try:
            async for updates in handler(_visitor(request), *values):
                yield updates
        except Exception as error:
            yield {notice: _said(error)}

    run.__name__ = handler.__name__
    return run


def _visitor(request: gr.Request) -> Visitor:
    """Who called: the guard has noted it, and lets nobody else through."""
    return cast("Visitor", request.state.visitor)


def _said(error: Exception) -> str:
    """What the visitor is told. A mistake of the page itself goes to the log, with its trace."""
    if isinstance(error, SaftError):
        return wording.problem(error)
    logger.error("the page failed", exc_info=error)
    return wording.note(MISHAP, "bad")


def choose(choices: Choices, current: str | None, fallback: str | None = None) -> Any:
    """A drop-down's new choices; what was chosen stays chosen, else `fallback`, else the first one."""
    known = [value for _, value in choices]
    value = next((wish for wish in (current, fallback) if wish in known), known[0] if known else None)
    return gr.Dropdown(choices=list(choices), value=value)
