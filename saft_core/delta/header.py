"""The header of a delta container: one JSON object in exactly one spelling.

Keys sorted, no white space, no escapes but those that JSON demands, numbers as Python prints them: writing what was
read gives the same bytes, which refuses repeated keys, NaN, 1e999 and everything else that has two readings.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from saft_core.errors import InvalidDelta
from saft_core.templates import PLACEHOLDER, Template, as_template, each

MAX_HEADER_BYTES = 8 << 20
MAX_HEADER_DEPTH = 16
MAX_INTEGER = (1 << 63) - 1


@dataclass(frozen=True)
class DeltaHeader:
    """What a delta must carry to be used far from the database it was made in.

    base_fingerprint: SHA-256 that names the base. base_name: the same for people.
    parameter_count:  D of the base, 1 to 2**63 - 1; every index is below it.
    density:          share of the parameters that was asked for, 0 < density <= 1.
    template:         the prompt, or several whose embeddings are averaged; '{}' in each stands for the class.
    classes:          at least one class name, in label order.
    metrics:          what was measured with this delta: JSON values.

    Texts hold neither NUL nor half of a surrogate pair, integers fit 64 bits. `encode` and `decode` check all this.
    """

    base_fingerprint: str
    base_name: str
    parameter_count: int
    density: float
    template: Template
    classes: tuple[str, ...]
    metrics: dict[str, Any] = field(default_factory=dict)


_TYPES: dict[str, tuple[type, ...]] = {
    "base_fingerprint": (str,),
    "base_name": (str,),
    "parameter_count": (int,),
    "density": (float,),
    "template": (str, list),
    "classes": (list,),
    "metrics": (dict,),
}


def write_header(header: DeltaHeader) -> bytes:
    """The header's JSON. Raises InvalidDelta when `read_header` would refuse it."""
    try:
        text = _dump(asdict(header) | {"density": float(header.density)})
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDelta(f"the header cannot be written as JSON: {error}") from error
    read_header(text)
    return text


def read_header(text: bytes | memoryview) -> DeltaHeader:
    """The inverse of `write_header`. Raises InvalidDelta naming what is wrong."""
    fields = _load(bytes(text))
    if fields.keys() != _TYPES.keys():
        raise InvalidDelta(f"the header's fields must be {', '.join(sorted(_TYPES))}")
    for name, kinds in _TYPES.items():
        if type(fields[name]) not in kinds:
            raise InvalidDelta(f"header field '{name}' is of the wrong type")
    if not all(isinstance(label, str) for label in fields["classes"]):
        raise InvalidDelta("header field 'classes' must hold texts")
    _check_storable(fields)
    fields |= {"classes": tuple(fields["classes"]), "template": _template(fields["template"])}
    header = DeltaHeader(**fields)
    _check_ranges(header)
    return header


def _template(value: str | list[Any]) -> Template:
    """A list of one would be another spelling of a text."""
    if isinstance(value, list) and (len(value) < 2 or not all(isinstance(one, str) for one in value)):
        raise InvalidDelta("header field 'template' must be a text, or a list of two texts or more")
    return as_template(value)


def _dump(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()


def _load(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_HEADER_BYTES:
        raise InvalidDelta(f"the header has {len(text)} bytes, at most {MAX_HEADER_BYTES} are allowed")
    try:
        fields = json.loads(text.decode())
        canonical = _dump(fields)
    except (ValueError, RecursionError) as error:
        raise InvalidDelta("the header is not JSON") from error
    if canonical != text:
        raise InvalidDelta("the header is not in canonical form")
    if not isinstance(fields, dict):
        raise InvalidDelta("the header is not a JSON object")
    return fields


def _check_ranges(header: DeltaHeader) -> None:
    if header.parameter_count < 1:
        raise InvalidDelta("header field 'parameter_count' must be at least 1")
    if not 0 < header.density <= 1:
        raise InvalidDelta("header field 'density' must lie between 0 and 1")
    if not all(PLACEHOLDER in one for one in each(header.template)):
        raise InvalidDelta(f"header field 'template' must have {PLACEHOLDER} where the class name belongs")
    if not header.classes:
        raise InvalidDelta("header field 'classes' must name at least one class")


def _check_storable(fields: dict[str, Any]) -> None:
    """Refuse what JSON can say but a database or another language cannot hold."""
    level: list[Any] = [fields]
    for _ in range(MAX_HEADER_DEPTH):
        nested: list[Any] = []
        for container in level:
            is_object = isinstance(container, dict)
            items = [*container, *container.values()] if is_object else container
            if set(map(type, items)) == {int}:  # as the rows of a confusion matrix: no need to look at each
                items = (min(items), max(items))
            for item in items:
                _check_scalar(item)
                if isinstance(item, (dict, list)):
                    nested.append(item)
        level = nested
        if not level:
            return
    raise InvalidDelta(f"the header is nested more than {MAX_HEADER_DEPTH} levels deep")


def _check_scalar(value: Any) -> None:
    if isinstance(value, str) and "\0" in value:
        raise InvalidDelta("the header has a text with a NUL character")
    if isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise InvalidDelta("the header has an integer that does not fit 64 bits")
