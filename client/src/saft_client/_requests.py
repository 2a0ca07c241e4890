"""Requests as plain data, from which every attempt is built anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

CONNECT_SECONDS = 10.0
WRITE_SECONDS = 60.0
"""How long an upload may stall."""
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
    files: a multipart body. headers: besides the key's. events: whether the answer is read as server-sent events.
    answer_seconds: how long to wait for an answer, or for the next bytes of it.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str | Sequence[str]] | None = None
    files: Sequence[Part] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    events: bool = False
    answer_seconds: float = ANSWER_SECONDS


def get(path: str, **params: Any) -> Request:
    """A GET. Parameters that are None are left out."""
    return Request("GET", path, params=given(params))


def post(path: str, json: Any = None) -> Request:
    """A POST without Idempotency-Key, for what may safely be repeated."""
    return Request("POST", path, json=json)


def create(path: str, json: Any, answer_seconds: float = ANSWER_SECONDS) -> Request:
    """A POST that creates something, with an Idempotency-Key."""
    return Request("POST", path, json=json, headers=once(), answer_seconds=answer_seconds)


def upload(path: str, form: Mapping[str, str | Sequence[str]], files: Sequence[Part]) -> Request:
    """A multipart POST that creates something of files, with an Idempotency-Key."""
    return Request("POST", path, form=form, files=files, headers=once(), answer_seconds=WORK_SECONDS)


def once() -> dict[str, str]:
    """An Idempotency-Key header, new for each request and the same for its retries."""
    return {"Idempotency-Key": uuid4().hex}


def given(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def at(*parts: object) -> str:
    """A URL path of percent-encoded segments. Raises ValueError for an empty segment, "." and ".."."""
    texts = [str(part) for part in parts]
    for text in texts:
        if text in ("", ".", ".."):
            raise ValueError(f"{text!r} is neither an id nor a name")
    return "".join(f"/{quote(text, safe='@')}" for text in texts)


def id_of(thing: object) -> str:
    """The id of a record, or the id or name itself."""
    return str(getattr(thing, "id", thing))
