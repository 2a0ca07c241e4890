"""Cookie authentication of the page: `/page/<visitor>/api/<path>` becomes `/<path>` with the visitor's API key.

The REST interface itself takes keys and no cookies, so that no other site can use those of a browser. Requests by this
way are checked for their origin (`refuse_other_sites`), and are not changed otherwise.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from saft_client import ApiError
from ui.answers import problem
from ui.visitors import key_of, refuse_other_sites

_PATH = re.compile(rb"/page/([0-9a-f]{1,64})/api(/.*)", re.DOTALL)
_OURS = frozenset({b"authorization", b"cookie"})
"""The headers that the API key replaces."""


class CookieAuth:
    """The ASGI middleware that replaces a visitor's cookie by the API key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        found = _PATH.fullmatch(_raw_path(scope)) if scope["type"] == "http" else None
        if found is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            refuse_other_sites(request)
            key = key_of(request, found[1].decode())
        except ApiError as error:
            await problem(request, error)(scope, receive, send)
            return
        await self.app(_asked(scope, found.start(2), found[2], key), receive, send)


def _raw_path(scope: Scope) -> bytes:
    """The path as it was sent, percent signs and all."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw


def _asked(scope: Scope, start: int, raw_path: bytes, key: str) -> Scope:
    """The request to the path from `start` on, with the key."""
    headers = [(name, value) for name, value in scope["headers"] if name not in _OURS]
    headers.append((b"authorization", b"Bearer " + key.encode()))
    return {**scope, "path": scope["path"][start:], "raw_path": raw_path, "headers": headers}
