"""All figures of several tables in one CSV: a line a figure."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from evaluation.report.estimates import estimate
from evaluation.tables import Cell, Row, Table

COLUMNS = (
    "table",
    "title",
    "method",
    "column",
    "mean",
    "low",
    "high",
    "seeds",
    "images",
    "trainable",
    "seconds",
    "peak_bytes",
    "learning_rate",
    "epochs",
    "missing",
)


def write_csv(path: Path, tables: Iterable[Table]) -> None:
    """A file of UTF-8 with the columns of COLUMNS.

    mean, low, high: in percent, with the ends of the 95% interval. seeds, images: what the figure is of; images count
    once in each test set. Where there is no figure, `missing` says why and the numbers are empty.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(line for table in tables for line in _lines(table))


def _lines(table: Table) -> Iterator[dict[str, object]]:
    for method, row in table.rows.items():
        for column, cell in row.cells.items():
            about = {"table": table.number, "title": table.title, "method": method, "column": column}
            yield about | (_figures(row, cell) if cell.tests else {"missing": cell.missing})


def _figures(row: Row, cell: Cell) -> dict[str, object]:
    found = estimate(cell)
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "seeds": len(cell.tests[0]),
        "images": sum(len(runs[0]) for runs in cell.tests),
        "trainable": row.trainable,
        "seconds": row.seconds,
        "peak_bytes": row.peak_bytes,
        "learning_rate": row.learning_rate,
        "epochs": row.epochs,
    }
