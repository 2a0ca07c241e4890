from __future__ import annotations

from typing import Any

import pytest

from benchmarks.recipe.journal import Scores
from benchmarks.recipe.report import ALL_TASKS, Outcomes, rows, tables
from benchmarks.recipe.runs import NEW, OLD


def run(strength: str, own: list[float], unseen: list[list[float]]) -> Scores:
    styles: Scores = {f"{strength} unseen {place}": values for place, values in enumerate(unseen)}
    return {f"{strength} own": own, "strength": [0.5], "seconds": [3.0]} | styles


OUTCOMES: Outcomes = {
    ("a", "all", OLD, 0): run("full", [0, 1], [[0, 0], [1, 1, 1, 1]]),
    ("a", "all", NEW, 0): run("learned", [1, 1], [[0, 1], [1, 1, 1, 1]]),
    ("b", "all", OLD, 0): run("full", [0, 1], [[0, 1]]),
    ("b", "all", NEW, 0): run("learned", [0, 1], [[1, 1]]),
}


def find(found: list[dict[str, Any]], task: str, variant: str, figure: str) -> dict[str, Any]:
    (row,) = [one for one in found if (one["task"], one["variant"], one["figure"]) == (task, variant, figure)]
    return row


def test_styles_and_tasks_count_alike_and_differences_are_paired() -> None:
    found = rows(OUTCOMES, ["a", "b"], seeds=1)
    both = find(found, "a", NEW, "own and unseen")
    assert both["percent"] == pytest.approx(100 * (1 + (0.5 + 1) / 2) / 2)
    assert both["less_old"]["mean"] == pytest.approx(100 * (0.5 + 0.25) / 2)
    overall = find(found, ALL_TASKS, NEW, "own and unseen")
    assert overall["less_old"]["mean"] == pytest.approx(100 * (0.375 + 0.25) / 2)
    assert find(found, ALL_TASKS, NEW, "strength")["mean"] == 0.5
    assert find(found, ALL_TASKS, OLD, "strength")["mean"] is None  # it uses all of its delta


def test_tables_leave_out_what_nothing_was_measured_of() -> None:
    text = tables(rows(OUTCOMES, ["a", "b"], seeds=1), ["a", "b"])
    assert "| new defaults | 75.0 | 87.5 | 81.2 | – | 0.5 | 3 |" in text
    assert "crop" not in text
