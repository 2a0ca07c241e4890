"""Exception handlers: every error as RFC 9457 problem details (`application/problem+json`) with a stable `code`.

The status of an error class of saft_core/errors.py stands here, in STATUS_OF.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from saft_core import errors

logger = logging.getLogger(__name__)

STATUS_OF = {
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.BadFraming: HTTPStatus.BAD_REQUEST,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.SlowBody: HTTPStatus.REQUEST_TIMEOUT,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Busy: HTTPStatus.TOO_MANY_REQUESTS,
    errors.DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.DeadlinePassed: HTTPStatus.GATEWAY_TIMEOUT,
}
"""The status of an error is that of its nearest listed ancestor; 500 without one."""

RETRY_AFTER_SECONDS = 1
"""After about a second a full queue has room again, or the service is too small for its load."""
HEADERS_OF = {
    HTTPStatus.BAD_REQUEST: {"Connection": "close"},
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.REQUEST_TIMEOUT: {"Connection": "close"},
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": str(RETRY_AFTER_SECONDS)},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
}
"""Headers of a SaftError's response, by its status."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
POSTGRES_DISK_FULL = "53100"
FOREIGN_KEY_VIOLATION = "23503"

OPENAI_PATHS = "/v1/"
"""Paths of OpenAI's clients, which show the `message` of an error."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
CODE_OF = {
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
}


def install(app: FastAPI) -> None:
    """Answer every kind of error in `app` with problem details."""
    app.add_exception_handler(errors.SaftError, _on_saft_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_lost_client)
    app.add_exception_handler(DataError, _on_unstorable_text)
    app.add_exception_handler(IntegrityError, _on_broken_reference)
    app.add_exception_handler(OperationalError, _on_lost_database)
    app.add_exception_handler(PoolTimeoutError, _on_lost_database)
    app.add_exception_handler(OSError, _on_system_error)
    app.add_exception_handler(Exception, _on_bug)


class ProblemResponse(JSONResponse):
    """Problem details as ASCII JSON, since a message may quote half of a surrogate pair that a caller sent."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """The JSON with all other characters escaped."""
        return json.dumps(content).encode("ascii")


def document(status: int, code: str, detail: str, path: str) -> dict[str, Any]:
    """The problem document of an error in the answer to a request of `path`."""
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": int(status), "code": code, "detail": detail}
    return told | {"instance": path}


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    details: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The response for an error. details: extension members of the problem document."""
    body = document(status, code, detail, request.url.path)
    if request.url.path.startswith(OPENAI_PATHS):
        body["message"] = detail
    extra = jsonable_encoder(details or {})
    return ProblemResponse(extra | body, status, headers)


def saft_problem(request: Request, error: errors.SaftError) -> JSONResponse:
    """The response for a SaftError."""
    status = next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)
    headers = HEADERS_OF.get(HTTPStatus(status), {})
    if "retry_after_seconds" in error.details:
        headers = headers | {"Retry-After": str(error.details["retry_after_seconds"])}
    return problem(request, status, error.error_code, error.message, error.details, headers)


async def _on_saft_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.SaftError)  # noqa: S101 (for the type checker)
    return saft_problem(request, error)


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [_readable(item) for item in error.errors()]
    detail = "; ".join(f"{item['field']}: {item['reason']}" for item in found)
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail, {"errors": found})


def _readable(item: Mapping[str, Any]) -> dict[str, str]:
    """One finding of the validator: where, and what is wrong there."""
    if item["type"] == "json_invalid":
        return {"field": "body", "reason": f"not JSON: {item.get('ctx', {}).get('error', item['msg'])}"}
    field = ".".join(str(part) for part in item["loc"] if part != "body") or "body"
    return {"field": field, "reason": item["msg"]}


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = CODE_OF.get(HTTPStatus(error.status_code), "http_error")
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = "there is nothing at this path; /docs lists those that there are"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
        detail = f"{request.method} is not for this path; it takes {headers['Allow']}"
    return problem(request, error.status_code, code, detail, headers=headers)


def _allowed(request: Request) -> list[str]:
    """The methods of the path: it may have a route for each, and Starlette names those of the first."""
    routes = request.app.router.routes
    asked = {name: request.scope[name] for name in ("type", "path", "root_path", "headers", "query_string")}
    return [
        method
        for method in METHODS
        if any(route.matches(asked | {"method": method})[0] is Match.FULL for route in routes)
    ]


async def _on_lost_client(request: Request, _: Exception) -> JSONResponse:
    """Nobody reads this, but it is counted: an upload that is broken off is no bug."""
    return problem(request, HTTPStatus.BAD_REQUEST, "bad_request", "the connection was closed within the body")


async def _on_unstorable_text(request: Request, _: Exception) -> JSONResponse:
    detail = "a text has characters that cannot be stored, such as NUL; remove them"
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail)


async def _on_broken_reference(request: Request, error: Exception) -> JSONResponse:
    """Something was deleted between the look and the write; every other broken constraint is a bug of ours."""
    if _sql_state(error) != FOREIGN_KEY_VIOLATION:
        return await _on_bug(request, error)
    return saft_problem(request, errors.Conflict("something that the request names was deleted just now; look again"))


async def _on_system_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, OSError) or error.errno not in DISK_FULL:
        return await _on_bug(request, error)
    logger.error("the disk is full", exc_info=error)
    return saft_problem(request, errors.DiskFull())


def _sql_state(error: Exception) -> str | None:
    """PostgreSQL's code of what went wrong."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


async def _on_lost_database(request: Request, error: Exception) -> JSONResponse:
    if _sql_state(error) == POSTGRES_DISK_FULL:
        logger.error("the disk of the database is full", exc_info=error)
        return saft_problem(request, errors.DiskFull())
    logger.error("the database does not answer", exc_info=error)
    detail = "the database does not answer; try again in a moment"
    return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers={"Retry-After": "5"})


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    logger.error("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
    detail = "something went wrong on our side; it has been logged"
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)
