"""Conditional requests: `If-None-Match` against an ETag, and 304 Not Modified."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Response

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Not modified."}}
"""The `responses` of a route that may answer so."""
IfNoneMatch = Annotated[str | None, Header(max_length=8_000)]


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names the ETag, by the weak comparison of RFC 9110, section 13.1.2."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or tags == ["*"]


def not_modified(headers: dict[str, str]) -> Response:
    """A 304 response. headers: those that a 200 response would have, its ETag among them."""
    return Response(status_code=304, headers=headers)
