"""The words around a class name in a prompt: one template, or several whose embeddings are averaged (an ensemble)."""

from __future__ import annotations

from collections.abc import Sequence

PLACEHOLDER = "{}"
"""Where the class name belongs."""

Template = str | tuple[str, ...]
"""One template, or an ensemble of two or more. One is always a text: in JSON, in rows, in containers and cache keys."""


def as_template(given: str | Sequence[str]) -> Template:
    """What JSON, which has lists for tuples, says; a list of one is that one."""
    if isinstance(given, str):
        return given
    return given[0] if len(given) == 1 else tuple(given)


def each(template: Template) -> tuple[str, ...]:
    """The templates of an ensemble, or the one."""
    return (template,) if isinstance(template, str) else template
