"""Tables from strangers, row by row: commas, semicolons or tabs, UTF-8 with or without a byte order mark."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from saft_core.data.label_formats.labels_files import Malformed

MAX_LINE_CHARACTERS = 1 << 20
MAX_ROW_LINES = 100
"""A quoted cell may hold line breaks, and a quote that is never closed all of the file."""
_DELIMITERS = ",;\t"


def read_table(data: bytes, is_likely: Callable[[Sequence[str]], bool]) -> Iterator[list[str]]:
    """The rows that are not blank, cells without blanks around them; memory holds one at a time.

    is_likely: whether cells look like a first row, cut at the right delimiter. Raises Malformed, naming the line.
    """
    lines = _Lines(data)
    delimiter = lines.delimiter(is_likely)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        for row in reader:
            lines.of_row = 0
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield cells
    except csv.Error as error:
        raise Malformed(f"Line {max(reader.line_num, 1):,}: {error}.") from error


class _Lines:
    """The lines of a file; `of_row` counts those of the row that is being read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._text = self._open()
        self.number = self.of_row = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._readline(self._text)
        if not line:
            raise StopIteration
        self.number += 1
        self.of_row += 1
        if self.of_row > MAX_ROW_LINES:
            raise self._too_long()
        return line

    def delimiter(self, is_likely: Callable[[Sequence[str]], bool]) -> str:
        """What the cells of the first row are cut at."""
        text = self._open()
        first = next((line for line in iter(lambda: self._readline(text), "") if line.strip()), "")
        rows = {mark: _cells(first, mark) for mark in _DELIMITERS}
        return max(_DELIMITERS, key=lambda mark: (is_likely(rows[mark]), len(rows[mark])))

    def _open(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(self._data), encoding="utf-8-sig", newline="")

    def _readline(self, text: io.TextIOWrapper) -> str:
        try:
            line = text.readline(MAX_LINE_CHARACTERS + 1)
        except UnicodeDecodeError as error:
            raise Malformed("It is not in UTF-8. Save it as CSV in UTF-8.") from error
        if len(line) > MAX_LINE_CHARACTERS:
            raise self._too_long()
        return line

    def _too_long(self) -> Malformed:
        return Malformed(f"Line {max(self.number, 1):,} is too long, or a quotation mark is not closed.")


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in row]
