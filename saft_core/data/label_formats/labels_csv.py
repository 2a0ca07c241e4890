"""A table of files and labels: `labels.csv`, with the columns file and label, or with no line of names.

Commas, semicolons and tabs separate. Other columns are left alone if the first line names the two.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from saft_core.data.label_formats.labels_files import LabelsFile, Malformed, Row, labelled_by
from saft_core.data.label_formats.tables import read_table
from saft_core.data.label_formats.upload import Labelled, Upload, names_image

_FILES = re.compile(r"(.*/)?labels\.(csv|tsv)")
FILE_COLUMNS = ("file", "filename", "file_name", "file name", "image", "path", "filepath", "image_path", "image_name")
LABEL_COLUMNS = ("label", "class", "category", "tag", "class_name", "label_name")


def recognise(upload: Upload) -> Labelled | None:
    """What `labels.csv` says, in any folder."""
    return labelled_by(upload, _FILES, _rows)


def _rows(file: LabelsFile) -> Iterator[Row]:
    rows = read_table(file.data, lambda cells: _columns(cells) is not None or (len(cells) > 1 and file.knows(cells[0])))
    first = next(rows, None)
    if first is None:
        raise Malformed("It is empty.")
    columns = _columns(first)
    if columns is None:
        if len(first) < 2 or not (names_image(first[0]) or file.knows(first[0])):
            raise Malformed("Name its columns 'file' and 'label' in the first line.")
        columns = (0, 1)
        yield _row(first, columns)
    for row in rows:
        yield _row(row, columns)


def column(cells: Sequence[str], names: Collection[str]) -> int | None:
    """The place of the first of `names`, in their order, among the cells of a table's first line."""
    lowered = [cell.casefold() for cell in cells]
    return next((lowered.index(name) for name in names if name in lowered), None)


def _columns(cells: Sequence[str]) -> tuple[int, int] | None:
    file, label = column(cells, FILE_COLUMNS), column(cells, LABEL_COLUMNS)
    return None if file is None or label is None else (file, label)


def _row(cells: Sequence[str], columns: tuple[int, int]) -> Row:
    """One line; what is missing at its end is blank."""
    name, label = (cells[place] if place < len(cells) else "" for place in columns)
    return Row((name,), (label,) if label else ())
