"""The paper's protocols: which fits a table needs, and how their outcomes fill its cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from evaluation.methods.method import Method
from evaluation.outcomes import Outcome
from evaluation.study import BASE, NEW, Study
from evaluation.tables import Cell, Right, Row, Table

FEWEST_OF_BASE_TO_NEW = 4
"""Classes from which on there are two halves of two at least."""
ONE_RATE = "All densities have the one learning rate that is stated for 0.1%; --tune chooses one for each."
SHOTS = (1, 2, 4, 8, 16)
DENSITIES = (0.0001, 0.001, 0.01, 0.1)
OOD = "mean of the shifted"
AVERAGE = "average"
HARMONIC = "H"
HALVES = (BASE, NEW, HARMONIC)
CANNOT_NAME = "its classifier has no words, so it cannot name classes that it was not trained on"


def distribution_shift(study: Study, dataset: str, methods: Sequence[Method]) -> Table:
    """Trained on one distribution, tested on it and on others of the same task."""
    title = f"Distribution shift, trained on {dataset}"
    if absence := study.absence(dataset):
        return _empty("1", title, [dataset, OOD], methods, absence)
    groups, absent = _groups(study, dataset), study.dataset(dataset).absent
    rows = {
        method.name: _beside(
            _row(study.outcomes(method, dataset), groups), {name: Cell(missing=why) for name, why in absent.items()}
        )
        for method in methods
    }
    return Table("1", title, [*groups, *absent], rows, study.sentences())


def _groups(study: Study, dataset: str) -> dict[str, list[str]]:
    """The columns of distribution shift, and the test sets that each is a mean of."""
    shifted = [test.name for test in study.dataset(dataset).shifted]
    return {name: [name] for name in [dataset, *shifted]} | {OOD: shifted}


def base_to_new(study: Study, datasets: Sequence[str], methods: Sequence[Method]) -> Table:
    """Trained on the first half of the classes, tested on it and on the other half; the average over data sets.

    Those that are not there are left out, and named below.
    """
    absent = {name: why for name in datasets if (why := _unhalved(study, name))}
    there = [name for name in datasets if name not in absent]
    title = f"Base to new, average over {len(there)} data set{'s' * (len(there) != 1)}"
    if not there:
        return _empty("2", title, HALVES, methods, "; ".join(absent.values()))
    tables = base_to_new_by_dataset(study, there, methods)
    rows = {
        method.name: Row(
            {column: _mean([table.rows[method.name].cells[column] for table in tables]) for column in HALVES}
        )
        for method in methods
    }
    notes = [f"without {name}: {why}" for name, why in absent.items()]
    return Table("2", title, HALVES, rows, study.sentences(), notes)


def base_to_new_by_dataset(study: Study, datasets: Sequence[str], methods: Sequence[Method]) -> list[Table]:
    """The same, data set by data set."""
    return [_base_to_new(study, dataset, methods) for dataset in datasets]


def _base_to_new(study: Study, dataset: str, methods: Sequence[Method]) -> Table:
    title = f"Base to new, {dataset}"
    if absence := _unhalved(study, dataset):
        return _empty("10", title, HALVES, methods, absence)
    rows = {method.name: _halves(study.outcomes(method, dataset, "base")) for method in methods}
    return Table("10", title, HALVES, rows, study.sentences())


def _unhalved(study: Study, dataset: str) -> str | None:
    """Why there are no two halves of classes, if so."""
    if absence := study.absence(dataset):
        return absence
    few = len(study.dataset(dataset).labels) < FEWEST_OF_BASE_TO_NEW
    return f"{dataset} has too few classes for two halves" if few else None


def _halves(outcomes: Sequence[Outcome]) -> Row:
    harmonic = _cell(outcomes, [BASE, NEW], mean="harmonic")
    return _beside(_row(outcomes, {BASE: [BASE], NEW: [NEW]}), {HARMONIC: harmonic})


def cross_dataset(study: Study, source: str, targets: Sequence[str], methods: Sequence[Method]) -> Table:
    """Trained on one data set, tested on others with their own classes."""
    columns, title = [source, *targets, AVERAGE], f"Cross-dataset, trained on {source}"
    absence = study.absence(source) or (None if targets else "no other data set was named")
    if absence:
        return _empty("3", title, columns, methods, absence)
    there = [target for target in targets if study.has(target)]
    absent = {target: Cell(missing=study.absence(target)) for target in targets if target not in there}
    groups = {name: [name] for name in [source, *there]} | ({AVERAGE: there} if there else {})
    absent |= {} if there else {AVERAGE: Cell(missing="none of the data sets is there")}
    rows = {method.name: _beside(_row(study.outcomes(method, source), groups), absent) for method in methods}
    return Table("3", title, columns, rows, study.sentences())


def selections(study: Study, dataset: str, methods: Sequence[Method]) -> Table:
    """By what entries are ranked."""
    table = distribution_shift(study, dataset, methods)
    return replace(table, number="5", title=f"Selection strategies, {dataset}")


def encoders(study: Study, dataset: str, methods: Sequence[Method]) -> Table:
    """In which encoder entries may be selected."""
    return replace(distribution_shift(study, dataset, methods), number="8", title=f"Encoders, {dataset}")


def image_encoders(studies: Mapping[str, Callable[[], Study]], dataset: str, methods: Sequence[Method]) -> Table:
    """The same comparison on several bases, one after the other in memory."""
    rows: dict[str, Row] = {}
    tables = []
    for name, load in studies.items():
        tables.append(distribution_shift(load(), dataset, methods))
        rows |= {f"{name}: {method}": row for method, row in tables[-1].rows.items()}
    return Table("4", f"Image encoders, {dataset}", tables[0].columns, rows, tables[0].conditions)


def shots(study: Study, dataset: str, methods: Sequence[Method]) -> Table:
    """Accuracy on the trained distribution by the number of shots."""
    columns = [f"{count} shot{'s' * (count > 1)}" for count in SHOTS]
    title = f"Accuracy by shots, {dataset}"
    if absence := study.absence(dataset):
        return _empty("11", title, columns, methods, absence)
    rows = {}
    for method in methods:
        by_count = [study.outcomes(method, dataset, shots=count) for count in SHOTS]
        cells = {column: _cell(found, [dataset]) for column, found in zip(columns, by_count, strict=True)}
        rows[method.name] = _beside(_row(by_count[-1], {}), cells)
    return Table("11", title, columns, rows, study.sentences())


def densities(study: Study, dataset: str, sparse: Method, ends: Sequence[Method]) -> Table:
    """`sparse` at several densities, after `ends`: the base and full fine-tuning."""
    table = distribution_shift(study, dataset, ends)
    rows = dict(table.rows)
    if study.has(dataset):
        groups = _groups(study, dataset)
        rows |= {
            at_density(sparse, density): _row(study.outcomes(sparse, dataset, density=density), groups)
            for density in DENSITIES
        }
    notes = () if study.conditions.tune else (ONE_RATE,)
    return Table("12", f"Densities, {dataset}", table.columns, rows, table.conditions, notes)


def at_density(sparse: Method, density: float) -> str:
    """The name of a row of `densities`."""
    return f"{sparse.name}, {100 * density:g}%"


def _row(outcomes: Sequence[Outcome], groups: Mapping[str, Sequence[str]]) -> Row:
    """groups: the test sets that each column is a mean of."""
    fitted = [outcome for outcome in outcomes if not outcome.unsuited]
    return Row(
        {column: _cell(outcomes, names) for column, names in groups.items()},
        fitted[0].trainable if fitted else 0,
        _average([outcome.seconds for outcome in fitted]),
        int(_average([outcome.peak_bytes for outcome in fitted])),
        outcomes[0].run.learning_rate or None,
        outcomes[0].run.epochs if outcomes[0].run.learning_rate else None,
    )


def _beside(row: Row, cells: Mapping[str, Cell]) -> Row:
    """The row with more cells."""
    return replace(row, cells={**row.cells, **cells})


def _cell(
    outcomes: Sequence[Outcome], names: Sequence[str], mean: Literal["arithmetic", "harmonic"] = "arithmetic"
) -> Cell:
    for outcome in outcomes:
        if outcome.unsuited:
            return Cell(missing=outcome.unsuited)
        if set(names) & set(outcome.unnamed):
            return Cell(missing=CANNOT_NAME)
    if not names:
        return Cell(missing="there is no shifted part")
    return Cell([[_right(outcome.right[name]) for outcome in outcomes] for name in names], mean)


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _right(told: str) -> Right:
    return np.array([one == "1" for one in told], dtype=bool)


def _mean(cells: Sequence[Cell]) -> Cell:
    """Of one column over data sets; for H, base and new come in turns, and their averages are what H is of."""
    missing = next((cell.missing for cell in cells if cell.missing), None)
    if missing:
        return Cell(missing=missing)
    return Cell([runs for cell in cells for runs in cell.tests], cells[0].mean)


def _empty(number: str, title: str, columns: Sequence[str], methods: Sequence[Method], absence: str) -> Table:
    cell = Cell(missing=absence)
    rows = {method.name: Row(dict.fromkeys(columns, cell)) for method in methods}
    return Table(number, title, columns, rows)
