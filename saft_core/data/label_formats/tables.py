"""Tables from strangers, row by row: commas, semicolons or tabs, UTF-8 with or without a byte order mark."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence

from saft_core.data.label_formats.labels_files import Malformed

MAX_LINE_CHARACTERS = 1 << 20
"""`csv` itself limits a cell to 131,072 characters, and with that what follows a quote that is never closed."""
_DELIMITERS = ",;\t"


def read_table(data: bytes, is_likely: Callable[[Sequence[str]], bool]) -> Iterator[list[str]]:
    """The rows that are not blank, cells without blanks around them; memory holds one at a time.

    is_likely: whether cells look like a first row, cut at the right delimiter (`csv.Sniffer` is wrong too often, and
    knows nothing of what is expected). Raises Malformed, naming the line.
    """
    first = next((line for line in _lines(data) if line.strip()), "")
    cut = {mark: _cells(first, mark) for mark in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda mark: (is_likely(cut[mark]), len(cut[mark])))
    reader = csv.reader(_lines(data), delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield cells
    except csv.Error as error:
        raise Malformed(f"Line {max(reader.line_num, 1):,}: {error}.") from error


def _lines(data: bytes) -> Iterator[str]:
    """The lines of a file in UTF-8. Raises Malformed."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    for number in itertools.count(1):
        try:
            line = text.readline(MAX_LINE_CHARACTERS + 1)
        except UnicodeDecodeError as error:
            raise Malformed("It is not in UTF-8. Save it as CSV in UTF-8.") from error
        if len(line) > MAX_LINE_CHARACTERS:
            raise Malformed(f"Line {number:,} is too long.")
        if not line:
            return
        yield line


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in row]
