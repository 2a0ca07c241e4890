"""The paper's protocols: which fits a table needs, and how their outcomes fill its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evaluation.datasets.dataset import MissingData
from evaluation.methods.method import Method
from evaluation.outcomes import Outcome
from evaluation.study import BASE, FEWEST_OF_BASE_TO_NEW, NEW, Study
from evaluation.tables import Cell, Row, Table

SHOTS = (1, 2, 4, 8, 16)
DENSITIES = (0.0001, 0.001, 0.01, 0.1)
OOD = "mean of the shifted"
AVERAGE = "average"
HARMONIC = "H"
CANNOT_NAME = "its classifier has no words, so it cannot name classes that it was not trained on"


@dataclass(frozen=True)
class Methods:
    """The methods of a study by what they are asked for. all: in the order of the tables."""

    all: Sequence[Method]
    saft: Method
    full: Method
    selections: Sequence[Method]
    encoders: Sequence[Method]
    few: Sequence[Method]


def distribution_shift(study: Study, dataset: str, methods: Sequence[Method]) -> Table:
    """Trained on one distribution, tested on it and on others of the same task."""
    columns = [dataset, OOD]
    try:
        shifted = [test.name for test in study.dataset(dataset).shifted]
    except MissingData as missing:
        return _empty("1", f"Distribution shift, trained on {dataset}", columns, methods, missing)
    columns = [dataset, *shifted, OOD]
    groups = {name: [name] for name in [dataset, *shifted]} | {OOD: shifted}
    rows = {method.name: _row(study.outcomes(method, dataset), groups) for method in methods}
    title = f"Distribution shift, trained on {dataset}"
    return Table("1", title, columns, rows, study.sentences(), () if shifted else ("there is no shifted part",))


def base_to_new(study: Study, datasets: Sequence[str], methods: Sequence[Method]) -> list[Table]:
    """Trained on the first half of the classes, tested on it and on the other half; the average first."""
    tables = [_base_to_new(study, dataset, methods) for dataset in datasets]
    if len(tables) == 1:
        return tables
    rows = {
        method.name: Row(
            {column: _mean([table.rows[method.name].cells[column] for table in tables]) for column in tables[0].columns}
        )
        for method in methods
    }
    title = f"Base to new, average over {len(datasets)} data sets"
    return [Table("2", title, tables[0].columns, rows, study.sentences()), *tables]


def _base_to_new(study: Study, dataset: str, methods: Sequence[Method]) -> Table:
    columns, title = [BASE, NEW, HARMONIC], f"Base to new, {dataset}"
    try:
        classes = len(study.dataset(dataset).labels)
        if classes < FEWEST_OF_BASE_TO_NEW:
            raise MissingData(f"{dataset} has {classes} classes, too few for two halves")
    except MissingData as missing:
        return _empty("2", title, columns, methods, missing)
    rows = {method.name: _halves(study.outcomes(method, dataset, "base")) for method in methods}
    return Table("2", title, columns, rows, study.sentences())


def _halves(outcomes: Sequence[Outcome]) -> Row:
    row = _row(outcomes, {BASE: [BASE], NEW: [NEW]})
    harmonic = _cell(outcomes, [BASE, NEW], mean="harmonic")
    return Row({**row.cells, HARMONIC: harmonic}, row.trainable, row.seconds, row.peak_bytes, row.learning_rate)


def cross_dataset(study: Study, source: str, targets: Sequence[str], methods: Sequence[Method]) -> Table:
    """Trained on one data set, tested on others with their own classes."""
    columns, title = [source, *targets, AVERAGE], f"Cross-dataset, trained on {source}"
    try:
        study.dataset(source)
    except MissingData as missing:
        return _empty("3", title, columns, methods, missing)
    if not targets:
        return _empty("3", title, columns, methods, MissingData("no other data set was given (--datasets)"))
    there = [target for target in targets if study.has(target)]
    absent = {target: Cell(missing=study.absence(target)) for target in targets if target not in there}
    groups = {name: [name] for name in [source, *there]} | ({AVERAGE: there} if there else {})
    absent |= {} if there else {AVERAGE: Cell(missing="none of the data sets is there")}
    rows = {}
    for method in methods:
        row = _row(study.outcomes(method, source), groups)
        rows[method.name] = Row({**row.cells, **absent}, row.trainable, row.seconds, row.peak_bytes, row.learning_rate)
    return Table("3", title, columns, rows, study.sentences())


def selections(study: Study, dataset: str, methods: Methods) -> Table:
    """By what entries are ranked."""
    table = distribution_shift(study, dataset, methods.selections)
    return _renamed(table, "5", f"Selection strategies, {dataset}")


def encoders(study: Study, dataset: str, methods: Methods) -> Table:
    """In which tower entries may be selected."""
    table = distribution_shift(study, dataset, methods.encoders)
    return _renamed(table, "10", f"Encoders, {dataset}")


def image_encoders(studies: Mapping[str, Study], dataset: str, methods: Methods) -> Table:
    """The same comparison on several bases."""
    rows: dict[str, Row] = {}
    columns: Sequence[str] = ()
    notes: list[str] = []
    for name, study in studies.items():
        table = distribution_shift(study, dataset, methods.few)
        columns = table.columns
        notes += [note for note in table.notes if note not in notes]
        rows |= {f"{name}: {method}": row for method, row in table.rows.items()}
    first = next(iter(studies.values()))
    return Table("8", f"Image encoders, {dataset}", columns, rows, first.sentences(), notes)


def shots(study: Study, dataset: str, methods: Methods) -> Table:
    """Accuracy on the trained distribution by the number of shots."""
    columns = [f"{count} shot{'s' * (count > 1)}" for count in SHOTS]
    title = f"Accuracy by shots, {dataset}"
    try:
        study.dataset(dataset)
    except MissingData as missing:
        return _empty("11", title, columns, methods.few, missing)
    rows = {}
    for method in methods.few:
        by_count = [study.outcomes(method, dataset, shots=count) for count in SHOTS]
        cells = {column: _cell(found, [dataset]) for column, found in zip(columns, by_count, strict=True)}
        last = _row(by_count[-1], {})
        rows[method.name] = Row(cells, last.trainable, last.seconds, last.peak_bytes, last.learning_rate)
    return Table("11", title, columns, rows, study.sentences())


def densities(study: Study, dataset: str, methods: Methods) -> Table:
    """SAFT at several densities, between the base and full fine-tuning."""
    table = distribution_shift(study, dataset, [*(m for m in methods.few if not m.settings(study.base).learning_rate)])
    rows = dict(table.rows)
    if table.conditions:
        groups = {name: [name] for name in table.columns if name != OOD}
        groups |= {OOD: [name for name in groups if name != dataset]}
        for density in DENSITIES:
            rows[at_density(density)] = _row(study.outcomes(methods.saft, dataset, density=density), groups)
        rows[methods.full.name] = _row(study.outcomes(methods.full, dataset), groups)
    return Table("12", f"Densities, {dataset}", table.columns, rows, table.conditions, table.notes)


def at_density(density: float) -> str:
    """A row of `densities`."""
    return f"SAFT, {100 * density:g}%"


def _row(outcomes: Sequence[Outcome], groups: Mapping[str, Sequence[str]]) -> Row:
    """groups: the test sets that each column is a mean of."""
    fitted = [outcome for outcome in outcomes if not outcome.unsuited]
    mean = lambda values: float(np.mean(values)) if values else 0.0  # noqa: E731
    return Row(
        {column: _cell(outcomes, names) for column, names in groups.items()},
        fitted[0].trainable if fitted else 0,
        mean([outcome.seconds for outcome in fitted]),
        int(mean([outcome.peak_bytes for outcome in fitted])),
        outcomes[0].run.learning_rate or None,
    )


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


def _right(told: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.frombuffer(told.encode(), dtype=np.uint8) == ord("1")


def _mean(cells: Sequence[Cell]) -> Cell:
    """Of one column over data sets; H of the average is taken of the averages in the report."""
    missing = next((cell.missing for cell in cells if cell.missing), None)
    return Cell(missing=missing) if missing else Cell([runs for cell in cells for runs in cell.tests], cells[0].mean)


def _empty(number: str, title: str, columns: Sequence[str], methods: Sequence[Method], missing: MissingData) -> Table:
    cell = Cell(missing=str(missing))
    rows = {method.name: Row(dict.fromkeys(columns, cell)) for method in methods}
    return Table(number, title, columns, rows)


def _renamed(table: Table, number: str, title: str) -> Table:
    return Table(number, title, table.columns, table.rows, table.conditions, table.notes)
