"""Signing in and out: the key is sent once; from then on it comes as a cookie that no script can read.

| request | what it does |
|---|---|
| GET /page/session?who= | who is signed in: of that name, or the only one there is |
| GET /page/session?own | whether this is one's own machine, where no key is needed |
| POST /page/session | sign in with `key`, or with none on one's own machine |
| DELETE /page/session?who= | sign out |
| POST /page/tenants | make a tenant with the admin key, and sign in as it |
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from saft_client import ApiError, ConfigurationError, SaftError
from ui.answers import body_of, problem
from ui.own_machine import OwnMachine, is_own
from ui.visitors import Connect, checked, forget, key_of, name_of, names_in, refuse_other_sites, remember

MAX_BODY_BYTES = 16 << 10
NOBODY: dict[str, Any] = {"who": None, "tenant": None, "name": None}


class SignIn:
    """The requests. `own_machine` is None where everybody needs a key."""

    def __init__(self, connect: Connect, own_machine: OwnMachine | None = None) -> None:
        self._connect = connect
        self._own_machine = own_machine

    def routes(self) -> list[Route]:
        """All of them; errors are problem details."""
        return [
            Route(path, _closed(answer), methods=[method])
            for method, path, answer in (
                ("GET", "/page/session", self.show),
                ("POST", "/page/session", self.enter),
                ("DELETE", "/page/session", self.leave),
                ("POST", "/page/tenants", self.make),
            )
        ]

    async def show(self, request: Request) -> Response:
        """Who is signed in, and nobody where the key is no longer anybody's."""
        if "own" in request.query_params:
            return _answer({"own": self._own_machine is not None and is_own(request, by_link=True)})
        names = names_in(request)
        name = request.query_params.get("who") or (names[0] if len(names) == 1 else "")
        if name not in names:
            return _answer(NOBODY)
        try:
            return _answer(await self._visitor(key_of(request, name)))
        except ApiError as error:
            if error.status != 401:
                raise
            answer = _answer(NOBODY)
            forget(answer, request, name)
            return answer

    async def enter(self, request: Request) -> Response:
        """Sign in; `remember` keeps the key beyond the browser's end. Raises ApiError `no_key` without a `key`."""
        given = await _given(request)
        key = _text(given, "key") if "key" in given else await self._own_key(request)
        visitor = await self._visitor(checked(key))
        answer = _answer(visitor)
        remember(answer, request, key, long=given.get("remember") is True)
        return answer

    async def leave(self, request: Request) -> Response:
        """Sign out."""
        answer = _answer(NOBODY)
        forget(answer, request, request.query_params.get("who", ""))
        answer.headers["Clear-Site-Data"] = '"cache"'  # pictures, too
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
        key = tenant.api_key
        answer = _answer({"who": name_of(key), "tenant": tenant.id, "name": tenant.name, "key": key})
        remember(answer, request, key, long=given.get("remember") is True)
        return answer

    async def _own_key(self, request: Request) -> str:
        if self._own_machine is None or not is_own(request):
            raise ApiError("no_key", "Signing in takes a key here.", 401)
        return await self._own_machine.key()

    async def _visitor(self, key: str) -> dict[str, Any]:
        async with self._connect(key) as client:
            account = await client.usage()
        return {"who": name_of(key), "tenant": account.tenant_id, "name": account.name}


def _closed(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """`answer` to this page alone, with errors as problem details."""

    async def closed(request: Request) -> Response:
        try:
            refuse_other_sites(request)
            return await answer(request)
        except SaftError as error:
            return problem(request, error)

    return closed


def _answer(visitor: dict[str, Any]) -> JSONResponse:
    return JSONResponse(visitor, headers={"Cache-Control": "no-store"})


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
