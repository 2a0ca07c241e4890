"""What a visitor's browser may send to the page's functions, and nothing else.

Gradio takes any JSON for the value of an input, and an object that looks like a file makes it copy that path of the
server, or fetch that URL. So an event is written anew from what it may hold: plain values, and files that this visitor
has uploaded, which Gradio is given as the names that they have here and never as files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from typing import Any, NoReturn
from urllib.parse import parse_qs

from saft_client import ApiError
from ui.visitors import Visitor

MAX_EVENT_BYTES = 1 << 20
MAX_INPUTS = 100

_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EVENT = re.compile(r"[A-Za-z0-9-]{1,64}")

Check = Callable[[str], Any]
"""Raises ApiError where the name is none of an upload of the visitor's."""


def join(body: bytes, visitor: Visitor, functions: Collection[int], check_upload: Check) -> bytes:
    """The body of a call of one of `functions`. Raises ApiError `bad_event`, or what `check_upload` raises."""
    given = _object(body)
    inputs = given.get("data")
    if not isinstance(inputs, list) or len(inputs) > MAX_INPUTS:
        _refuse("data is no list of inputs")
    return _written(
        {
            "fn_index": _known(given.get("fn_index"), functions),
            "trigger_id": _number(given.get("trigger_id"), "trigger_id"),
            "session_hash": own_session(given.get("session_hash"), visitor),
            "data": [_value(value, check_upload) for value in inputs],
        }
    )


def cancel(body: bytes, visitor: Visitor, functions: Collection[int]) -> bytes:
    """The body that ends a call. Raises ApiError `bad_event`."""
    given = _object(body)
    return _written(
        {
            "fn_index": _known(given.get("fn_index"), functions),
            "session_hash": own_session(given.get("session_hash"), visitor),
            "event_id": _event_id(given),
        }
    )


def reset(body: bytes) -> bytes:
    """The body that follows a cancelled call. Raises ApiError `bad_event`."""
    return _written({"event_id": _event_id(_object(body))})


def queried_session(query: bytes, visitor: Visitor) -> bytes:
    """The query of the stream of a session's answers. Raises ApiError `bad_event`."""
    given = parse_qs(query.decode("latin-1")).get("session_hash", [""])
    return b"session_hash=" + own_session(given[0], visitor).encode()


def own_session(given: object, visitor: Visitor) -> str:
    """The visitor's session of that name: nobody else's, even of the same name. Raises ApiError `bad_event`."""
    if not isinstance(given, str) or not _SESSION.fullmatch(given):
        _refuse("session_hash is none")
    return f"{visitor.tag}-{given}"


def _value(value: object, check_upload: Check) -> object:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list):
        return [_upload(item, check_upload) for item in value]
    return _upload(value, check_upload)


def _upload(value: object, check_upload: Check) -> str:
    """The name that an upload has here."""
    name = value.get("path") if isinstance(value, dict) else None
    if not isinstance(name, str):
        _refuse("an input is neither plain text, a number, nor an uploaded file")
    check_upload(name)
    return name


def _known(number: object, functions: Collection[int]) -> int:
    found = _number(number, "fn_index")
    if found is None or found not in functions:
        _refuse("fn_index is none of this page")
    return found


def _number(value: object, name: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        _refuse(f"{name} is no whole number")
    return value


def _event_id(given: dict[str, Any]) -> str:
    value = given.get("event_id")
    if not isinstance(value, str) or not _EVENT.fullmatch(value):
        _refuse("event_id is none")
    return value


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        _refuse("the body is no JSON")
    if not isinstance(given, dict):
        _refuse("the body is no JSON object")
    return given


def _written(event: dict[str, Any]) -> bytes:
    """As JSON; no infinite numbers, and no half surrogate pairs."""
    try:
        return json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        _refuse("a value cannot be written as JSON")


def _refuse(why: str) -> NoReturn:
    raise ApiError("bad_event", f"This is no event of the page: {why}. Reload the page and try again.", 400)
