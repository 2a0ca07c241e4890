"""Parses JSON into frozen dataclasses by their annotations; fields that they do not have are ignored."""

from __future__ import annotations

import json
import math
import reprlib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from saft_client.errors import UnexpectedAnswer

Self = TypeVar("Self", bound="Record")


@dataclass(frozen=True)
class Record:
    """An answer of the service, or a part of one. raw: its JSON, also with fields that this client does not know."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False, kw_only=True)

    @classmethod
    def read(cls: type[Self], data: object, **more: Any) -> Self:
        """The record of a JSON object and `more` members. Raises UnexpectedAnswer naming what is missing or wrong."""
        if not isinstance(data, dict):
            raise UnexpectedAnswer(f"{cls.__name__}: a JSON object was expected")
        known = data | more
        members = {entry.name: _member(cls, entry, known) for entry in fields(cls) if entry.name != "raw"}
        return cls(**members, raw=data)


_HINTS: dict[str, dict[str, Any]] = {}


def _hints(kind: type[Record]) -> dict[str, Any]:
    """The annotations of a kind of records, looked up once."""
    if kind.__qualname__ not in _HINTS:
        _HINTS[kind.__qualname__] = get_type_hints(kind)
    return _HINTS[kind.__qualname__]


def _member(kind: type[Record], entry: Field[Any], data: Mapping[str, Any]) -> Any:
    """The member's value; its default where it is missing, or null without being annotated so."""
    hint, value = _hints(kind)[entry.name], data.get(entry.name)
    if entry.name not in data or (value is None and type(None) not in get_args(hint)):
        if entry.default is not MISSING:
            return entry.default
        if entry.default_factory is not MISSING:
            return entry.default_factory()
        if entry.name not in data:
            raise UnexpectedAnswer(f"{kind.__name__}.{entry.name} is missing")
    return _value(hint, value, f"{kind.__name__}.{entry.name}")


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), value, where)
    if origin is tuple and isinstance(value, list):
        return _tuple(get_args(hint), value, where)
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.read(value)
    expected = origin or hint
    found = _converted(expected, value)
    if expected is not Any and not isinstance(found, expected):
        raise UnexpectedAnswer(f"{where}: {reprlib.repr(value)} is no {getattr(expected, '__name__', expected)}")
    return found


def _converted(kind: Any, value: Any) -> Any:
    """What JSON has no type for, or less strict a one; None where the value is none of this kind."""
    try:
        if kind is datetime and isinstance(value, str):
            return datetime.fromisoformat(value.replace("Z", "+00:00"))
        if kind is float and type(value) in (int, float):
            return float(value) if math.isfinite(value) else None
    except (ValueError, OverflowError):  # no date, an integer larger than any float
        return None
    return None if kind is int and isinstance(value, bool) else value


def _one_of(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    """The value as the type that it fits: None, a list, or what else there is."""
    if value is None and type(None) in hints:
        return None
    others = [hint for hint in hints if hint is not type(None)]
    fits = (hint for hint in others if (get_origin(hint) is tuple) == isinstance(value, list))
    return _value(next(fits, others[0]), value, where)


def _tuple(hints: tuple[Any, ...], value: list[Any], where: str) -> tuple[Any, ...]:
    """As many as there are of `tuple[X, ...]`, one for each of `tuple[X, Y]`."""
    if hints[-1] is Ellipsis:
        return tuple(_value(hints[0], item, where) for item in value)
    if len(hints) != len(value):
        raise UnexpectedAnswer(f"{where}: {len(value)} values instead of {len(hints)}")
    return tuple(_value(hint, item, where) for hint, item in zip(hints, value, strict=True))


def json_of(text: bytes | str, status: int = 0) -> Any:
    """The parsed JSON. Raises UnexpectedAnswer for a text that is no JSON, or nested too deep."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UnexpectedAnswer("What came is no JSON: is this the address of SAFT?", status) from None


def object_of(body: bytes, status: int = 0) -> dict[str, Any]:
    """The JSON object of an answer. Raises UnexpectedAnswer."""
    found = json_of(body, status)
    if not isinstance(found, dict):
        raise UnexpectedAnswer("The answer is no JSON object: is this the address of SAFT?", status)
    return found


def list_of(answer: Mapping[str, Any], name: str) -> list[Any]:
    """A member that is a list. Raises UnexpectedAnswer."""
    found = answer.get(name)
    if not isinstance(found, list):
        raise UnexpectedAnswer(f"{name}: {reprlib.repr(found)} is no list")
    return found


def next_cursor(page: Mapping[str, Any], seen: set[str]) -> str | None:
    """The cursor of the next page, None on the last one. Raises UnexpectedAnswer for one `seen` before."""
    cursor = page.get("next_cursor")
    if cursor is None:
        return None
    if not isinstance(cursor, str) or cursor in seen:
        raise UnexpectedAnswer(f"next_cursor: {reprlib.repr(cursor)} leads to no page that is new")
    seen.add(cursor)
    return cursor
