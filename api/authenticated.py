"""Route classes that check the API key before a byte of the body is read: a tenant's key or the admin's."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from api.deps import admit_admin, admit_tenant
from saft_core.errors import UnsupportedMediaType


class _JsonRequest(Request):
    """A request whose JSON must be Unicode: half of a surrogate pair, which no database stores, is invalid JSON."""

    async def json(self) -> Any:
        try:
            return from_json(await self.body())
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


class _AuthenticatedRoute(APIRoute):
    """A route that calls `admit` first, since FastAPI reads a body before it solves dependencies.

    Raises Unauthorized, and UnsupportedMediaType where JSON is wanted: another type has another limit on its size.
    """

    @staticmethod
    async def admit(request: Request) -> None:
        """Raise Unauthorized for a key that does not open this route."""
        raise NotImplementedError

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, called once the key is admitted and the content type is checked."""
        answer, takes_json = super().get_route_handler(), self.body_field is not None

        async def authenticated(request: Request) -> Response:
            await self.admit(request)
            if takes_json:
                check_json(request.headers.get("content-type", ""))
            return await answer(_JsonRequest(request.scope, request.receive))

        return authenticated


class TenantRoute(_AuthenticatedRoute):
    """A route for a tenant's key."""

    admit = staticmethod(admit_tenant)


class AdminRoute(_AuthenticatedRoute):
    """A route for the admin key."""

    admit = staticmethod(admit_admin)


def check_json(content_type: str) -> None:
    """Raise UnsupportedMediaType unless the `Content-Type` is JSON or missing."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType(f"this call takes application/json, not {kind}")
