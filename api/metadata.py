"""Validation of the `metadata` of images and of the `filter` of a search.

Metadata is flat: a key's value is a text, a number, a boolean, null or a list of texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import WithJsonSchema
from pydantic_core import from_json

from saft_core.data.paths import is_control
from saft_core.errors import InvalidInput
from saft_core.settings import Limits
from saft_core.store.search import Scalar

MAX_KEY_CHARACTERS = 100
MAX_FILTER_VALUES = 32
"""Values under one key of a filter: each is a condition in the query."""
MAX_NUMBER = 2**63 - 1

_NUMBER = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
_SCALARS = [{"type": "string"}, _NUMBER, {"type": "boolean"}, {"type": "null"}]
_KEYS = {"minLength": 1, "maxLength": MAX_KEY_CHARACTERS}


def _schema(*values: Mapping[str, Any]) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "object", "propertyNames": _KEYS, "additionalProperties": {"anyOf": [*_SCALARS, *values]}}
    )


Metadata = Annotated[dict[str, Any], _schema({"type": "array", "items": {"type": "string"}})]
Filter = Annotated[
    dict[str, Any],
    _schema({"type": "array", "items": {"anyOf": _SCALARS}, "minItems": 1, "maxItems": MAX_FILTER_VALUES}),
]


def checked_metadata(given: Any, limits: Limits, field: str = "metadata") -> dict[str, Any]:
    """The metadata of one image, validated. Raises InvalidInput naming the field, the key and the limit."""
    _check_keys(given, limits, field)
    for key, value in given.items():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(value, list) and not isinstance(entry, str):
                raise _bad(f"{field}.{key}: a list holds texts only")
            _check_scalar(entry, f"{field}.{key}")
    _check_size(given, limits, field)
    return dict(given)


def checked_filter(given: Mapping[str, Any] | None, limits: Limits) -> dict[str, Sequence[Scalar]]:
    """The filter as lists: for each key the values of which an image must have one. Raises InvalidInput."""
    if given is None:
        return {}
    _check_keys(given, limits, "filter")
    wanted: dict[str, Sequence[Scalar]] = {
        key: value if isinstance(value, list) else [value] for key, value in given.items()
    }
    for key, values in wanted.items():
        if not 1 <= len(values) <= MAX_FILTER_VALUES:
            raise _bad(f"filter.{key}: give 1 to {MAX_FILTER_VALUES} values, got {len(values)}")
        for value in values:
            _check_scalar(value, f"filter.{key}")
    _check_size(given, limits, "filter")
    return wanted


def read_metadata(texts: Sequence[str], names: Sequence[str], limits: Limits) -> list[dict[str, Any] | None]:
    """The metadata of each file of a form, None for a file without. Raises InvalidInput.

    texts: JSON objects or null, one for each of the files in their order, or none at all. names: of the files.
    """
    if not texts:
        return [None] * len(names)
    if len(texts) != len(names):
        raise _bad(
            f"metadata: {len(texts)} for {len(names)} files; send one JSON object for each file, in the order of the"
            " files, and null for a file without"
        )
    fields = [f"metadata[{number}] ({name})" for number, name in enumerate(names)]
    read = [_parsed(text, field) for text, field in zip(texts, fields, strict=True)]
    pairs = zip(read, fields, strict=True)
    return [None if value is None else checked_metadata(value, limits, field) for value, field in pairs]


def _parsed(text: str, field: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise _bad(f"{field}: not JSON: {error}") from error


def _check_keys(given: Any, limits: Limits, field: str) -> None:
    if not isinstance(given, dict):
        raise _bad(f"{field}: give a JSON object")
    if len(given) > limits.max_metadata_keys:
        raise _bad(f"{field}: {len(given)} keys; at most {limits.max_metadata_keys} are taken (max_metadata_keys)")
    for key in given:
        if not 1 <= len(key) <= MAX_KEY_CHARACTERS:
            raise _bad(f"{field}: a key has {len(key)} characters; give each 1 to {MAX_KEY_CHARACTERS}")
        if any(is_control(character) for character in key):
            raise _bad(f"{field}: leave control characters out of the keys")


def _check_scalar(value: Any, field: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise _bad(f"{field}: leave out NUL characters")
    elif isinstance(value, int | float):
        if not abs(value) <= MAX_NUMBER:  # nor is it where the value is NaN
            raise _bad(f"{field}: numbers go to 2^63 - 1; send a larger one as text")
    elif value is not None:
        raise _bad(f"{field}: give a text, a number, a boolean, null or a list, nothing nested deeper")


def _check_size(given: Mapping[str, Any], limits: Limits, field: str) -> None:
    size = len(json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode())
    if size > limits.max_metadata_bytes:
        raise _bad(f"{field}: {size:,} bytes; at most {limits.max_metadata_bytes:,} are taken (max_metadata_bytes)")


def _bad(message: str) -> InvalidInput:
    return InvalidInput(message)
