"""Rows of results/recipe.json and the tables: means in percent, and paired differences from the former defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.measure import Row
from benchmarks.recipe.intervals import difference
from benchmarks.recipe.journal import Scores
from benchmarks.recipe.numbers import weighted
from benchmarks.recipe.pictures import NEW_CLASSES
from benchmarks.recipe.runs import OLD, VARIANTS, Variant
from benchmarks.recipe.tasks import Part
from evaluation.report.estimates import Estimate

Key = tuple[str, Part, str, int]
"""Task, part, training, seed."""
Outcomes = Mapping[Key, Scores]
ALL_TASKS = "all tasks"


@dataclass(frozen=True)
class Column:
    """One figure of a run: from which part, and how it is read from the scores of one strength."""

    name: str
    part: Part
    take: Callable[[Scores], list[float]]


def _unseen(scores: Scores) -> list[float]:
    return weighted([values for name, values in scores.items() if name.startswith("unseen ")])


def _own_and_unseen(scores: Scores) -> list[float]:
    return weighted([scores["own"], _unseen(scores)])


def _plain(part: Part, test: str, name: str) -> Column:
    return Column(name, part, lambda scores: scores.get(test, []))


ACCURACY = (
    _plain("all", "own", "own style"),
    Column("unseen styles", "all", _unseen),
    Column("own and unseen", "all", _own_and_unseen),
    _plain("half", NEW_CLASSES, "new classes"),
)
STRANGERS = (
    _plain("all", "auroc", "AUROC, other things"),
    _plain("all", "accepted", "accepted, other things"),
    _plain("half", "auroc", "AUROC, untaught classes"),
    _plain("half", "accepted", "accepted, untaught classes"),
)
TRUST = (
    _plain("all", "calibration error", "calibration error"),
    _plain("all", "calibrated error", "with the temperature"),
    _plain("half", "calibration error", "of 4 classes"),
    _plain("half", "calibrated error", "of 4, with the temperature"),
)
UNEVEN = (_plain("uneven", "balanced", "balanced, uneven"), _plain("uneven", "rare classes", "rare classes, uneven"))
COLUMNS = (*ACCURACY, *STRANGERS, *TRUST, *UNEVEN)


def rows(outcomes: Outcomes, tasks: Sequence[str], seeds: int) -> list[Row]:
    """A row for each task, and for all, of each variant and figure that every pair of task and seed has."""
    made = []
    for name, among in {ALL_TASKS: tasks, **{task: [task] for task in tasks}}.items():
        for variant in VARIANTS:
            for column in COLUMNS:
                made += _row(outcomes, name, among, variant, column, seeds)
            made += [_mean(outcomes, name, among, variant, figure) for figure in ("strength", "seconds")]
    return made


def _row(
    outcomes: Outcomes, name: str, among: Sequence[str], variant: Variant, column: Column, seeds: int
) -> list[Row]:
    """One row, or none where no task has the figure."""
    former = next(one for one in VARIANTS if one.name == OLD)
    pairs = [(task, seed) for task in among for seed in range(seeds)]
    runs = {pair: _values(outcomes, variant, column, pair) for pair in pairs}
    runs = {pair: values for pair, values in runs.items() if values}
    if not runs:
        return []
    others = [_values(outcomes, former, column, pair) for pair in runs]
    less = difference(list(runs.values()), others) if variant != former and all(others) else None
    means = [100 * float(np.mean(values)) for values in runs.values()]
    row = {"task": name, "variant": variant.name, "figure": column.name, "percent": float(np.mean(means))}
    return [row | {"less_old": asdict(less) if less else None, "runs": [round(mean, 2) for mean in means]}]


def _values(outcomes: Outcomes, variant: Variant, column: Column, pair: tuple[str, int]) -> list[float]:
    scores = outcomes.get((pair[0], column.part, variant.training, pair[1]), {})
    prefix = f"{variant.strength} "
    found = {name.removeprefix(prefix): values for name, values in scores.items() if name.startswith(prefix)}
    return column.take(found) if found else []


def _mean(outcomes: Outcomes, name: str, among: Sequence[str], variant: Variant, figure: str) -> Row:
    """Of the trainings on all classes: seconds of the first seed's, or the strengths that were learned."""
    wanted = [
        value
        for (task, part, training, _), scores in outcomes.items()
        if task in among and part == "all" and training == variant.training
        for value in scores.get(figure, [])
    ]
    used = wanted if figure == "seconds" or variant.strength == "learned" else []
    return {"task": name, "variant": variant.name, "figure": figure, "mean": float(np.mean(used)) if used else None}


def tables(found: Sequence[Row], tasks: Sequence[str]) -> str:
    """Markdown: means and differences over all tasks, what strangers and probabilities are like, and each task."""
    cells = {(row["task"], row["variant"], row["figure"]): row for row in found}
    accuracy, rest = [column.name for column in ACCURACY], [column.name for column in (*STRANGERS, *TRUST)]
    made = [
        _table(cells, ALL_TASKS, "percent", accuracy, ("strength", "seconds")),
        _table(cells, ALL_TASKS, "less the old defaults", accuracy),
        _table(cells, ALL_TASKS, "percent", [column.name for column in UNEVEN]),
        *(_table(cells, task, "less the old defaults", accuracy) for task in tasks),
        *(_table(cells, task, "percent", rest) for task in (ALL_TASKS, *tasks)),
    ]
    return "\n\n".join(made)


def _table(
    cells: Mapping[tuple[str, str, str], Row], task: str, shown: str, names: Sequence[str], means: Sequence[str] = ()
) -> str:
    lines = [f"| {' | '.join([f'{task}, {shown}', *names, *means])} |", f"|---|{'---|' * (len(names) + len(means))}"]
    for variant in VARIANTS:
        own = [cells.get((task, variant.name, name)) for name in (*names, *means)]
        texts = [_text(row, difference=shown != "percent") for row in own]
        if any(text != "–" for text in texts):
            lines.append(f"| {variant.name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _text(row: Row | None, *, difference: bool) -> str:
    if row is None or (difference and row["less_old"] is None):
        return "–"
    if difference:
        return str(Estimate(**row["less_old"]))
    value = row.get("percent", row.get("mean"))
    return "–" if value is None else f"{value:.3g}" if "mean" in row else f"{value:.1f}"
