"""What lists show of metrics: the figures, and not the matrices and curves, of which one can be larger than a page."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, func
from sqlalchemy.orm import InstrumentedAttribute

FIGURES = (
    "accuracy",
    "zero_shot_accuracy",
    "balanced_accuracy",
    "zero_shot_balanced_accuracy",
    "interval",
    "zero_shot_interval",
    "right",
    "zero_shot_right",
    "verdict",
    "too_few_to_tell",
    "kept",
    "strength",
    "evaluated_on",
    "test_images",
    "held_out_images",
    "train_images",
)


def summary_of(metrics: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """Of a JSONB column the FIGURES, null where one is missing; null where there are no metrics."""
    members = [part for name in FIGURES for part in (name, metrics.op("->")(name))]
    return case((func.jsonb_typeof(metrics) == "object", func.jsonb_build_object(*members)))
