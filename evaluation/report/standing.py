"""Where one method stands against others, in words with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.report.estimates import Estimate, difference
from evaluation.tables import Table


def standing(table: Table, method: str, rivals: Sequence[str]) -> str:
    """One line a rival: the paired differences in percentage points, column by column; empty where there are none."""
    return "\n".join(line for rival in rivals if (line := _line(table, method, rival)))


def _line(table: Table, method: str, rival: str) -> str:
    if method not in table.rows or rival not in table.rows:
        return ""
    ours, theirs = table.rows[method].cells, table.rows[rival].cells
    told = [
        f"{column} {_words(difference(ours[column], theirs[column]))}"
        for column in table.columns
        if ours[column].tests and theirs[column].tests
    ]
    return f"- **{method} against {rival}**: {'; '.join(told)}." if told else ""


def _words(by: Estimate) -> str:
    """A difference that its interval does not tell from none is said to be so."""
    word = "better" if by.low > 0 else "worse" if by.high < 0 else "not told apart"
    return f"{word}, {by.signed()}"
