"""Answers that a client keeps: whether what it has is still what it would be given."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Response

IfNoneMatch = Annotated[str | None, Header(max_length=8_000)]


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Whether one of the tags that a client names is `etag`, compared weakly as RFC 9110, section 13.1.2, has it."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or tags == ["*"]


def not_modified(headers: dict[str, str]) -> Response:
    """The answer to a client that has it already; `headers` are those of the whole answer, its ETag among them."""
    return Response(status_code=304, headers=headers)
