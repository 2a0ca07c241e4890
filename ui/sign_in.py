"""Signing in and out: the key is sent once; from then on it comes as a cookie that no script can read."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from saft_client import ApiError, ConfigurationError, SaftError
from ui import wording
from ui.answers import body_of, problem
from ui.visitors import COOKIE, Connect, Visitor, Visitors, forget, refuse_other_sites, remember

MAX_BODY_BYTES = 16 << 10
WORKS = "Your key works. Go on to Images."


class SignIn:
    """The requests that sign_in.js makes. Each answers with `who` is signed in and, as HTML, a `notice` for them."""

    def __init__(self, visitors: Visitors, connect: Connect) -> None:
        self._visitors = visitors
        self._connect = connect

    def routes(self) -> list[Route]:
        """All of them; errors are problem details with a `notice`."""
        return [
            Route("/page/session", _noticed(answer), methods=[method])
            for method, answer in (
                ("GET", self.show),
                ("POST", self.enter),
                ("PATCH", self.keep),
                ("DELETE", self.leave),
            )
        ] + [Route("/page/tenants", _noticed(self.make), methods=["POST"])]

    async def show(self, request: Request) -> Response:
        """Who is signed in; `who` is empty where nobody is, and nobody is where the key is no longer anybody's."""
        if COOKIE not in request.cookies:
            return _answer("", "")
        return _welcome(await self._visitors.sender(request))

    async def enter(self, request: Request) -> Response:
        """Sign in with `key`; `remember` keeps it beyond the browser's end."""
        given = await _given(request)
        visitor = await self._visitors.holder(_text(given, "key"))
        answer = _welcome(visitor)
        remember(answer, request, visitor.key, long=given.get("remember") is True)
        return answer

    async def keep(self, request: Request) -> Response:
        """Change `remember` for who is signed in."""
        given = await _given(request)
        visitor = await self._visitors.sender(request)
        answer = _welcome(visitor)
        remember(answer, request, visitor.key, long=given.get("remember") is True)
        return answer

    async def leave(self, request: Request) -> Response:
        """Sign out."""
        answer = _answer("", "")
        forget(answer, request)
        return answer

    async def make(self, request: Request) -> Response:
        """Make a tenant with `admin_key` and `name`, and sign in with its key, which is shown this once."""
        given = await _given(request)
        admin_key, name = _text(given, "admin_key"), _text(given, "name")
        if not admin_key or not name:
            raise ApiError("invalid_request", "Fill in the admin key and a name.", 422)
        try:
            client = self._connect(admin_key)
        except ConfigurationError:
            raise ApiError("unauthorized", "This is no admin key.", 401) from None
        async with client:
            tenant = await client.tenants.create(name)
        notice = wording.note(f"Made a key for {tenant.name}. Copy it, then go on to Images.", "good")
        answer = _answer(Visitor(tenant.api_key).tag, notice, key=tenant.api_key)
        remember(answer, request, tenant.api_key, long=given.get("remember") is True)
        return answer


def _noticed(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """`answer` to this page alone, with an error's words as a notice."""

    async def noticed(request: Request) -> Response:
        try:
            refuse_other_sites(request)
            return await answer(request)
        except SaftError as error:
            return problem(request, error, notice=wording.problem(error))

    return noticed


def _welcome(visitor: Visitor) -> JSONResponse:
    return _answer(visitor.tag, wording.note(WORKS, "good"))


def _answer(who: str, notice: str, **more: str) -> JSONResponse:
    return JSONResponse({"who": who, "notice": notice} | more, headers={"Cache-Control": "no-store"})


async def _given(request: Request) -> dict[str, Any]:
    try:
        given = json.loads(await body_of(request, MAX_BODY_BYTES))
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise ApiError("bad_request", "The request is no JSON object.", 400)
    return given


def _text(given: dict[str, Any], name: str) -> str:
    """A text of the request, without spaces around it; empty where it is none. Raises ApiError for half a character."""
    value = given.get(name)
    text = value.strip() if isinstance(value, str) else ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ApiError("invalid_request", f"{name}: a character of it is not whole.", 422) from error
    return text
