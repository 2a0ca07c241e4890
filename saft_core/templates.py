"""Prompt templates: one, or an ensemble of several whose text embeddings are averaged."""

from __future__ import annotations

from collections.abc import Sequence

PLACEHOLDER = "{}"
"""The place of the class name in a template."""

Template = str | tuple[str, ...]
"""One template, or an ensemble of two or more. One is always a text: in JSON, in rows, in containers and cache keys."""


def as_template(given: str | Sequence[str]) -> Template:
    """A template from JSON: a string, or a list of strings; a list of one is that string."""
    if isinstance(given, str):
        return given
    return given[0] if len(given) == 1 else tuple(given)


def each(template: Template) -> tuple[str, ...]:
    """The templates as a tuple, of one or more."""
    return (template,) if isinstance(template, str) else template
