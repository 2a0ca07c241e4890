"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.report.claims import PAPER, Claim, claim
from evaluation.report.estimates import Estimate, difference, estimate
from evaluation.tables import Cell, Row, Table

NO_FIGURE = "–"
NOT_RUN = Cell(missing="it was not run")
MIB = 2**20


class Remarks:
    """Numbered remarks below a table; what is said twice has one number."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {}

    def mark(self, remark: str) -> str:
        """What stands in the cell."""
        return f"[{self._said.setdefault(remark, len(self._said) + 1)}]"

    def lines(self) -> list[str]:
        """What stands below."""
        return [f"- [{number}] {remark}" for remark, number in self._said.items()]


def markdown(table: Table) -> str:
    """Conditions, then a row a method, below it what the paper states of that method, then reasons and remarks.

    A figure is a mean in percent with its 95% interval; the best mean of each column is bold.
    """
    if (absence := _absence(table)) is not None:
        return _paragraphs([f"### Table {table.number}. {table.title}", f"There are no figures: {absence}."])
    remarks = Remarks()
    figures = {
        method: {column: estimate(row.cells.get(column, NOT_RUN)) for column in table.columns}
        for method, row in table.rows.items()
    }
    best = {column: _best([found[column] for found in figures.values()]) for column in table.columns}
    lines = _head(["method", *table.columns, "trainable", "seconds", "peak memory", "learning rate", "epochs"])
    for method, row in table.rows.items():
        cells = [
            _figure(figures[method][column], best[column], row.cells.get(column, NOT_RUN), remarks)
            for column in table.columns
        ]
        lines.append(_line([method, *cells, *costs(row)]))
        lines += _stated(table, method, remarks)
    parts = [f"### Table {table.number}. {table.title}", _list(table.conditions), "\n".join(lines)]
    return _paragraphs([*parts, "\n".join([*remarks.lines(), *map("- {}".format, table.notes)])])


def _absence(table: Table) -> str | None:
    """The reason that all cells are empty for, if there is one alone."""
    reasons = {row.cells.get(column, NOT_RUN).missing for row in table.rows.values() for column in table.columns}
    return reasons.pop() if len(reasons) == 1 else None


def costs(row: Row) -> list[str]:
    """Trainable parameters, seconds, peak memory, learning rate, epochs; none where nothing was fitted for this row."""
    if not row.seconds and not row.peak_bytes:
        return [NO_FIGURE] * 5
    seconds = f"{row.seconds:,.1f}" if row.seconds < 100 else f"{row.seconds:,.0f}"
    rate = NO_FIGURE if row.learning_rate is None else f"{row.learning_rate:g}".replace("e-0", "e-")
    epochs = NO_FIGURE if row.epochs is None else f"{row.epochs}"
    return [f"{row.trainable:,}", seconds, f"{row.peak_bytes / MIB:,.0f} MiB", rate, epochs]


def _figure(found: Estimate, best: float, cell: Cell, remarks: Remarks) -> str:
    if not found.known:
        return f"{NO_FIGURE} {remarks.mark(cell.missing or NOT_RUN.missing or '')}"
    mean, interval = str(found).split(" ", 1)
    return f"**{mean}** {interval}" if found.mean == best else f"{mean} {interval}"


def _best(found: Sequence[Estimate]) -> float:
    return max((one.mean for one in found if one.known), default=0.0)


def _stated(table: Table, method: str, remarks: Remarks) -> list[str]:
    """The row of what the paper states, if it states anything of this method in this table."""
    told = {column for column, cell in table.rows[method].cells.items() if cell.tests}
    found = [claim(table.number, method, column) if column in told else None for column in table.columns]
    if not any(found):
        return []
    cells = [_statement(table, column, one, remarks) for column, one in zip(table.columns, found, strict=True)]
    return [_line([f"*paper: {method}*", *cells, *[""] * 5])]


def _statement(table: Table, column: str, stated: Claim | None, remarks: Remarks) -> str:
    if stated is None:
        return ""
    mark = remarks.mark(f"{PAPER}, measured on {stated.setting}.")
    here = next((method for method in table.rows if stated.over and method.casefold() == stated.over.casefold()), None)
    method = next(method for method in table.rows if method.casefold() == stated.method.casefold())
    ours = f"; here {_above(table, method, here, column).signed()}" if here is not None else ""
    return f"{stated}{ours} {mark}"


def _above(table: Table, method: str, other: str, column: str) -> Estimate:
    return difference(*(table.rows[name].cells.get(column, NOT_RUN) for name in (method, other)))


def _head(names: Sequence[str]) -> list[str]:
    return [_line(names), "|---|" + "---:|" * (len(names) - 1)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _paragraphs(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
