"""Requests before they are sent: plain data that every attempt is built from anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

CONNECT_SECONDS = 10.0
WRITE_SECONDS = 60.0
"""Without a byte taken, however long an upload lasts."""
ANSWER_SECONDS = 120.0
"""Twice what the service gives itself for an answer."""
WORK_SECONDS = 600.0
"""The service reads every image of an upload, and of a collection that is new to an adapter, before it answers."""

Part = tuple[str, tuple[str, Any]]
"""A form's field, and the name and content of its file."""


@dataclass(frozen=True)
class Request:
    """A call of the API.

    It may be sent again when its answer was lost: what is not idempotent by itself has an Idempotency-Key. form and
    files: a multipart body. headers: besides the key's. answer_seconds: how long to wait for an answer.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str | Sequence[str]] | None = None
    files: Sequence[Part] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    answer_seconds: float = ANSWER_SECONDS


def get(path: str, **params: Any) -> Request:
    """A look. Parameters that are None are left out."""
    return Request("GET", path, params=given(params))


def post(path: str, json: Any = None) -> Request:
    """A question, or something that may be said twice."""
    return Request("POST", path, json=json)


def create(path: str, json: Any, answer_seconds: float = ANSWER_SECONDS) -> Request:
    """Make a thing: once, however often this is sent."""
    return Request("POST", path, json=json, headers=once(), answer_seconds=answer_seconds)


def upload(path: str, form: Mapping[str, str | Sequence[str]], files: Sequence[Part]) -> Request:
    """Make a thing of files: once, however often this is sent."""
    return Request("POST", path, form=form, files=files, headers=once(), answer_seconds=WORK_SECONDS)


def once() -> dict[str, str]:
    """The header that makes a repeated request the same one."""
    return {"Idempotency-Key": uuid4().hex}


def given(members: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def at(*parts: object) -> str:
    """A path of parts, each of them one, whatever is in it. Raises ValueError for a part that cannot be one."""
    texts = [str(part) for part in parts]
    for text in texts:
        if text in ("", ".", ".."):
            raise ValueError(f"{text!r} is neither an id nor a name")
    return "".join(f"/{quote(text, safe='@')}" for text in texts)


def id_of(thing: object) -> str:
    """The id of a thing that has one, or the id or name itself."""
    return str(getattr(thing, "id", thing))
