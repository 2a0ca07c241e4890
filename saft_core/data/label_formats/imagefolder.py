"""Hugging Face's imagefolder with metadata: `metadata.csv` or `metadata.jsonl`, beside the images or above them.

`file_name` names the image, and `label`, or else `text`, what it shows. A label that is a number stays that number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from saft_core.data.label_formats.json_files import decode
from saft_core.data.label_formats.labels_csv import column
from saft_core.data.label_formats.labels_files import LabelsFile, Malformed, Row, labelled_by
from saft_core.data.label_formats.tables import MAX_LINE_CHARACTERS, read_table
from saft_core.data.label_formats.upload import Labelled, Upload

_FILES = re.compile(r"(.*/)?metadata\.(csv|jsonl)")
_LABEL_COLUMNS = ("label", "text")
_COLUMNS = "It has to give each image's 'file_name', and a 'label' or a 'text'."


class _Line(msgspec.Struct):
    file_name: str
    label: Any = msgspec.UNSET
    text: Any = msgspec.UNSET


def recognise(upload: Upload) -> Labelled | None:
    """What the metadata say. Class folders come before them, as they do in `datasets`."""
    return labelled_by(upload, _FILES, _rows)


def _rows(file: LabelsFile) -> Iterator[Row]:
    return _of_lines(file.data) if file.path.lower().endswith(".jsonl") else _of_table(file.data)


def _of_table(data: bytes) -> Iterator[Row]:
    rows = read_table(data, lambda cells: column(cells, ("file_name",)) is not None)
    header = next(rows, [])
    name, label = column(header, ("file_name",)), column(header, _LABEL_COLUMNS)
    if name is None or label is None:
        raise Malformed(_COLUMNS)
    for row in rows:
        if len(row) <= max(name, label):
            raise Malformed(f"The row of '{row[0][:100]}' has {len(row):,} columns, the first line {len(header):,}.")
        yield Row((row[name],), (row[label],) if row[label] else ())


def _of_lines(data: bytes) -> Iterator[Row]:
    start, number, has_labels = 0, 0, False
    while start < len(data):
        number += 1
        end = data.find(b"\n", start)
        line = data[start : end if end >= 0 else len(data)].strip()
        start = end + 1 if end >= 0 else len(data)
        if not line:
            continue
        if len(line) > MAX_LINE_CHARACTERS:
            raise Malformed(f"Line {number:,} is too long.")
        found = decode(line, _Line, f"Line {number:,}: ")
        value = found.text if found.label is msgspec.UNSET else found.label
        has_labels = has_labels or value is not msgspec.UNSET
        yield Row((found.file_name,), (str(value),) if _is_label(value) else ())
    if not has_labels:
        raise Malformed(_COLUMNS)


def _is_label(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (type(value) is int and abs(value) < 1 << 63)
