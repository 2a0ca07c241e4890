"""Validation of names, labels, templates, strength and top_k against the settings; what a schema cannot know."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from saft_core.data.paths import is_control, visible
from saft_core.errors import InvalidConfig, InvalidInput
from saft_core.settings import Limits
from saft_core.templates import PLACEHOLDER, Template, as_template

MAX_TEMPLATE_CHARACTERS = 300
BASE_NAME = "base"
"""The name of the base wherever a request names an adapter."""
ADDRESS = re.compile(r".*@\d+", re.DOTALL)
"""The form of a version's address, such as name@3."""
ADAPTER_ID = re.compile(r"ad_[0-9a-f]{32}")


def name(value: str | None, limits: Limits, field: str = "name") -> str:
    """The name without outer white space. Raises InvalidInput."""
    cleaned = (value or "").strip()
    if not cleaned:
        raise InvalidInput(f"{field}: give a name")
    if len(cleaned) > limits.max_name_characters:
        raise InvalidInput(f"{field}: at most {limits.max_name_characters} characters (max_name_characters)")
    _check_visible(field, cleaned)
    return cleaned


def _check_visible(field: str, value: str) -> None:
    if any(is_control(character) for character in value):
        raise InvalidInput(f"{field}: leave out control characters")


def adapter_name(value: str | None, limits: Limits) -> str:
    """The name of an adapter: not "base", and not of the form of an id or of name@version. Raises InvalidInput."""
    cleaned = name(value, limits)
    if cleaned == BASE_NAME or ADAPTER_ID.fullmatch(cleaned) or ADDRESS.fullmatch(cleaned):
        raise InvalidInput(f"name: {cleaned!r} already means something where an adapter is asked for; choose another")
    return cleaned


def labels(values: Sequence[str], limits: Limits) -> tuple[str, ...]:
    """The labels without outer white space. Raises InvalidInput, also where two of them look the same."""
    cleaned = tuple(value.strip() for value in values)
    if not 1 <= len(cleaned) <= limits.max_classify_labels:
        raise InvalidInput(f"labels: give 1 to {limits.max_classify_labels} (max_classify_labels)")
    for label in cleaned:
        if not 1 <= len(label) <= limits.max_label_characters:
            most = limits.max_label_characters
            raise InvalidInput(f"labels: one has {len(label)} characters; give each 1 to {most} (max_label_characters)")
        _check_visible("labels", label)
    shown = [unicodedata.normalize("NFC", visible(label)) for label in cleaned]
    if not all(shown):
        raise InvalidInput("labels: one has nothing to see in it; name the class in words")
    if repeated := _repeated(shown):
        raise InvalidInput(f"labels: given twice: {', '.join(repeated)}")
    return cleaned


def _repeated(values: Sequence[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def template(given: str | Sequence[str], limits: Limits) -> Template:
    """One prompt template or a list of distinct ones, each with the placeholder once. Raises InvalidConfig."""
    template = as_template(given)
    if isinstance(template, str):
        _check_template(template, "template")
        return template
    if not 1 <= len(template) <= limits.max_templates:
        raise InvalidConfig(f"template: give 1 to {limits.max_templates} (max_templates), got {len(template)}")
    for number, one in enumerate(template):
        _check_template(one, f"template[{number}]")
    if repeated := _repeated(template):
        raise InvalidConfig(f"template: given twice: {', '.join(repeated)}")
    return template


def _check_template(value: str, field: str) -> None:
    if value.count(PLACEHOLDER) != 1:
        raise InvalidConfig(f"{field}: write {PLACEHOLDER} exactly once, where the class name belongs")
    if len(value) > MAX_TEMPLATE_CHARACTERS:
        raise InvalidConfig(f"{field}: at most {MAX_TEMPLATE_CHARACTERS} characters")
    if any(is_control(character) for character in value):
        raise InvalidConfig(f"{field}: leave out control characters")


def strength(value: float) -> float:
    """The strength, 0 to 1. Raises InvalidInput."""
    if not 0 <= value <= 1:
        raise InvalidInput("strength: give 0 (the base) to 1 (the adapter)")
    return value


def top_k(value: int | None, limits: Limits) -> int | None:
    """The number of results, 1 to `max_top_k`, or None. Raises InvalidInput."""
    if value is not None and not 1 <= value <= limits.max_top_k:
        raise InvalidInput(f"top_k: give 1 to {limits.max_top_k} (max_top_k)")
    return value
