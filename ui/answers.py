"""The JSON answers of the page: errors as RFC 9457 problem details, as those of the API, and request bodies."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from saft_client import ApiError, SaftError

RETRY_AFTER_SECONDS = 2


def problem(request: Request, error: SaftError, **extra: Any) -> JSONResponse:
    """The answer for an error; one without a status is the service that could not be asked."""
    status = HTTPStatus(error.status or HTTPStatus.SERVICE_UNAVAILABLE)
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "code": error.code,
        "detail": error.detail,
        "instance": request.url.path,
    }
    headers = {"Cache-Control": "no-store"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return JSONResponse(body | extra, int(status), headers, "application/problem+json")


async def body_of(request: Request, max_bytes: int) -> bytes:
    """The whole body.

    Raises ApiError `too_large` as soon as it is longer than `max_bytes`, `bad_request` where the sender is gone before
    its end.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise ApiError("too_large", f"The request is larger than {max_bytes:,} bytes.", 413)
    except ClientDisconnect:
        raise ApiError("bad_request", "The request was cut short.", 400) from None
    return bytes(body)
