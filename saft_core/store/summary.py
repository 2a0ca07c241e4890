"""The summary of metrics in lists: the single figures, without matrices and curves, which may be large."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

SHORT = ("interval", "zero_shot_interval", "unknown")
"""Members of metrics that a summary has although they are objects."""


def summary_of(metrics: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """The SQL expression for the summary of a JSONB column: its scalars and the members in SHORT; null for null."""
    member = func.jsonb_each(metrics).table_valued("key", "value")
    is_shown = or_(func.jsonb_typeof(member.c.value).not_in(("array", "object")), member.c.key.in_(SHORT))
    shown = func.jsonb_object_agg(member.c.key, member.c.value).filter(is_shown)
    figures = select(func.coalesce(shown, func.jsonb_build_object())).select_from(member).scalar_subquery()
    return case((func.jsonb_typeof(metrics) == "object", figures))
