"""Roboflow's "multi-class" export: `_classes.csv` in each split, with a column for each class and 1 for yes.

filename, cat, dog
1.jpg, 1, 0
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from saft_core.data.label_formats.labels_csv import FILE_COLUMNS
from saft_core.data.label_formats.labels_files import LabelsFile, Malformed, Row, labelled_by
from saft_core.data.label_formats.tables import read_table
from saft_core.data.label_formats.upload import Labelled, Upload

_FILES = re.compile(r"(.*/)?_classes\.csv")
_VALUES = {"1": True, "0": False, "": False, "1.0": True, "0.0": False, "true": True, "false": False}


def recognise(upload: Upload) -> Labelled | None:
    """What `_classes.csv` says, in any folder: the class with a 1, if it is the only one."""
    return labelled_by(upload, _FILES, _rows)


def _rows(file: LabelsFile) -> Iterator[Row]:
    rows = read_table(file.data, _is_header)
    header = next(rows, [])
    if not _is_header(header):
        raise Malformed("Its first line has to be 'filename' and the names of the classes.")
    classes = header[1:]
    for row in rows:
        if len(row) != len(header):
            raise Malformed(f"The row of '{row[0][:100]}' has {len(row):,} columns, the first line {len(header):,}.")
        yield Row((row[0],), {name for name, value in zip(classes, row[1:], strict=True) if _is_on(value, row[0])})


def _is_header(cells: Sequence[str]) -> bool:
    return len(cells) > 1 and cells[0].casefold() in FILE_COLUMNS


def _is_on(value: str, name: str) -> bool:
    try:
        return _VALUES[value.lower()]
    except KeyError as error:
        raise Malformed(f"The row of '{name[:100]}' holds '{value[:20]}'; only 0 and 1 say what it shows.") from error
