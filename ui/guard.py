"""The only way from outside to Gradio: a list of the requests that the page makes. Everything else is not there.

Fetching the page is free; all that runs a function, streams its answers or has to do with files takes a key. Gradio
gets requests that are written anew: none of its own parameters, cookies or files come through.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from mimetypes import guess_type

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saft_client import ApiError, SaftError
from ui import events
from ui.answers import body_of, chunks_of, problem
from ui.loading import Page
from ui.uploads import Upload, Uploads
from ui.visitors import Visitor, Visitors

FREE = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/assets/{path:path}", "/static/{path:path}")
"""What the page consists of. Gradio's other paths have no route here, whatever a later version adds."""

SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif", "image/tiff"})
"""Files that a browser may show; any other is only ever downloaded."""
_CHUNK_BYTES = 1 << 16

_PASSED_HEADERS = frozenset(
    {b"host", b"accept", b"accept-encoding", b"user-agent", b"x-forwarded-host", b"x-forwarded-proto"}
)
_KEPT = ("type", "asgi", "http_version", "method", "scheme", "client", "server")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
_PLAIN_PATH = re.compile(r"/(\w[\w.-]*(/\w[\w.-]*)*)?", re.ASCII)

Answer = Callable[[Request, Visitor], Awaitable[ASGIApp]]


class Guard:
    """The page's requests, each answered by Gradio or by us."""

    def __init__(self, page: Page, visitors: Visitors, uploads: Uploads) -> None:
        self._page = page
        self._visitors = visitors
        self._uploads = uploads

    def routes(self) -> list[Route]:
        """All of the page but signing in."""
        free = [Route(path, _Free(self._page), methods=["GET"]) for path in FREE]
        closed = [
            _route(method, f"/gradio_api/{path}", _Closed(self._visitors, answer))
            for method, path, answer in (
                ("POST", "queue/join", self._join),
                ("GET", "queue/data", self._answers),
                ("POST", "cancel", self._cancel),
                ("POST", "reset", self._reset),
                ("GET", "heartbeat/{session}", self._heartbeat),
                ("GET", "app_id", self._app_id),
                ("POST", "upload", self._receive),
                ("GET", "file={name}", self._show),
            )
        ]
        return free + closed

    async def _join(self, request: Request, visitor: Visitor) -> ASGIApp:
        body = await body_of(request, events.MAX_EVENT_BYTES)
        body = events.join(body, visitor, self._page.functions, partial(self._uploads.check, visitor))
        return self._forward("/gradio_api/queue/join", visitor, body=body)

    async def _answers(self, request: Request, visitor: Visitor) -> ASGIApp:
        query = events.queried_session(request.scope["query_string"], visitor)
        return self._forward("/gradio_api/queue/data", visitor, query=query)

    async def _cancel(self, request: Request, visitor: Visitor) -> ASGIApp:
        body = events.cancel(await body_of(request, events.MAX_EVENT_BYTES), visitor, self._page.functions)
        return self._forward("/gradio_api/cancel", visitor, body=body)

    async def _reset(self, request: Request, visitor: Visitor) -> ASGIApp:
        body = events.reset(await body_of(request, events.MAX_EVENT_BYTES))
        return self._forward("/gradio_api/reset", visitor, body=body)

    async def _heartbeat(self, request: Request, visitor: Visitor) -> ASGIApp:
        session = events.own_session(request.path_params["session"], visitor)
        return self._forward(f"/gradio_api/heartbeat/{session}", visitor)

    async def _app_id(self, _: Request, visitor: Visitor) -> ASGIApp:
        return self._forward("/gradio_api/app_id", visitor)

    async def _receive(self, request: Request, visitor: Visitor) -> ASGIApp:
        content_type = request.headers.get("content-type", "")
        return JSONResponse(await self._uploads.receive(visitor, content_type, chunks_of(request)))

    async def _show(self, request: Request, visitor: Visitor) -> ASGIApp:
        name = request.path_params["name"]
        return _file(self._uploads.check(visitor, name), self._contents(visitor, name))

    async def _contents(self, visitor: Visitor, name: str) -> AsyncIterator[bytes]:
        with self._uploads.lent(visitor, name) as upload, upload.open() as reader:
            while chunk := await asyncio.to_thread(reader.read, _CHUNK_BYTES):
                yield chunk

    def _forward(self, path: str, visitor: Visitor, query: bytes = b"", body: bytes = b"") -> ASGIApp:
        return _Forward(self._page, path, query, body, visitor)


@dataclass(frozen=True)
class _Closed:
    """ASGI endpoint: `answer` for a visitor with a key; problem details for anybody else."""

    visitors: Visitors
    answer: Answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            visitor = await self.visitors.sender(request)
            request.state.caller = visitor.tag  # whose share of the service the body is, before any of it is read
            answer = await self.answer(request, visitor)
        except SaftError as error:
            answer = problem(request, error)
        await answer(scope, receive, send)


@dataclass(frozen=True)
class _Free:
    """ASGI endpoint: a part of the page, for anybody. A path that is not plain is not there."""

    page: Page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _PLAIN_PATH.fullmatch(scope["path"]):
            answer: ASGIApp = _Forward(self.page, scope["path"])
        else:
            answer = problem(Request(scope), ApiError("not_found", "There is nothing at this path.", 404))
        await answer(scope, receive, send)


@dataclass(frozen=True)
class _Forward:
    """The request as Gradio gets it: path, query and body as given here, and no header that Gradio has no use for."""

    page: Page
    path: str
    query: bytes = b""
    body: bytes = b""
    visitor: Visitor | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if _passes(name, value)]
        if self.body:
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(self.body)).encode())]
        asked = {name: scope[name] for name in _KEPT if name in scope}
        if asked["method"] == "HEAD":
            asked["method"] = "GET"  # the server leaves the body out
        rest = {"root_path": "", "path": self.path, "raw_path": self.path.encode(), "query_string": self.query}
        state = {"visitor": self.visitor}
        await self.page(asked | rest | {"headers": headers, "state": state}, _after(self.body, receive), send)


def _route(method: str, path: str, answer: ASGIApp) -> Route:
    """A route of this method alone: asking for the head of a stream makes no sense."""
    route = Route(path, answer)
    route.methods = {method}
    return route


def _passes(name: bytes, value: bytes) -> bool:
    return name in _PASSED_HEADERS and (not name.endswith(b"host") or bool(_HOST.fullmatch(value)))


def _after(body: bytes, receive: Receive) -> Receive:
    """`receive`, with `body` in front."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received


def _file(upload: Upload, contents: AsyncIterator[bytes]) -> Response:
    """A file of the visitor's own, so that the browser does nothing with it but show it as an image."""
    media_type = guess_type(upload.filename)[0]
    shown = media_type in SHOWN
    headers = {
        "Content-Length": str(upload.file.size),
        "Content-Disposition": "inline" if shown else "attachment",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(contents, 200, headers, media_type if shown else "application/octet-stream")
