"""The allowlist of Gradio's paths: only the files of which the page consists can be requested.

Nothing of the page runs in Gradio's process: it is the frame, and what happens in it are calls of the REST interface.
So no path that runs a function, takes a file or streams an answer has a route here, whatever a later version adds.
Gradio gets requests that are written anew: none of its own parameters, cookies or bodies come through.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saft_client import ApiError
from ui.answers import problem
from ui.loading import Page

PATHS = ("/", "/config", "/theme.css", "/assets/{path:path}", "/static/{path:path}")

HEADERS = (
    (b"content-security-policy", b"frame-ancestors 'none'"),  # no other page shows this one within itself
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
)
"""Security headers of every answer."""
_PASSED_HEADERS = frozenset({b"host", b"accept", b"accept-encoding", b"user-agent", b"x-forwarded-proto"})
_KEPT = ("type", "asgi", "http_version", "method", "scheme", "client", "server")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
_PLAIN_PATH = re.compile(r"/(\w[\w.-]*(/\w[\w.-]*)*)?", re.ASCII)


def routes(page: Page) -> list[Route]:
    """The routes of the page, which need no key."""
    return [Route(path, _Part(page), methods=["GET"]) for path in PATHS]


@dataclass(frozen=True)
class _Part:
    """ASGI endpoint. A path that is not plain is not there."""

    page: Page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _PLAIN_PATH.fullmatch(scope["path"]):
            answer: ASGIApp = problem(Request(scope), ApiError("not_found", "There is nothing at this path.", 404))
        else:
            scope, answer = _asked(scope), self.page
        await answer(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *HEADERS]}
        await send(message)

    return sending


def _asked(scope: Scope) -> Scope:
    """The request as Gradio gets it; the server leaves the body of an answer to HEAD out."""
    headers = [(name, value) for name, value in scope["headers"] if _passes(name, value)]
    path = scope["path"]
    kept = {name: scope[name] for name in _KEPT if name in scope}
    rest = {"method": "GET", "root_path": "", "path": path, "raw_path": path.encode(), "query_string": b""}
    return kept | rest | {"headers": headers, "state": {}}


def _passes(name: bytes, value: bytes) -> bool:
    return name in _PASSED_HEADERS and (not name.endswith(b"host") or bool(_HOST.fullmatch(value)))
