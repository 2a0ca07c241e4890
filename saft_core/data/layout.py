"""An upload to labelled files: names made safe, clutter dropped, and the labels read in whatever format they are.

A label is in NFC, without blanks around it and without characters that cannot be seen; underscores stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from saft_core.data.entries import Entry, Folder, Item, Rejection
from saft_core.data.label_formats.table import labelled
from saft_core.data.label_formats.upload import Labelled, Upload, parts_of
from saft_core.data.limits import DataLimits
from saft_core.data.paths import is_clutter, normalise_path
from saft_core.errors import InvalidInput


def lay_out(items: Iterable[Item], limits: DataLimits) -> Labelled:
    """Give each file of an upload its label. A file that has none is rejected with a reason.

    Codes: those of `normalise_path` and of the formats, and `empty_folder`.

    Raises InvalidDataset with code `unsupported_layout` if the labels are kept in a way that is not read, and for
    labels files with `invalid_labels_file` or `labels_file_too_large`.
    """
    files, folders, rejected = _safe(items)
    found = labelled(Upload(tuple(files), tuple(rejected), limits))
    rejected.extend(found.rejected)
    taken = [entry.path for entry in files] + [rejection.path for rejection in rejected]
    return Labelled(found.placed, (*rejected, *_empty(folders, taken)))


def _safe(items: Iterable[Item]) -> tuple[list[Entry], list[Folder], list[Rejection]]:
    """Files and folders under normalised paths, and the rest; clutter is dropped without a word."""
    files: list[Entry] = []
    folders: list[Folder] = []
    rejected: list[Rejection] = []
    for item in items:
        if isinstance(item, Rejection):
            rejected.append(item)
        elif not is_clutter(item.path):
            try:
                path = normalise_path(item.path)
            except InvalidInput as error:
                rejected.append(Rejection.of(item.path, error))
                continue
            if isinstance(item, Folder):
                folders.append(Folder(path))
            else:
                files.append(Entry(path, item.read))
    return files, folders, rejected


def _empty(folders: list[Folder], taken: list[str]) -> list[Rejection]:
    """A rejection for each folder that holds neither a file nor another folder."""
    paths = {folder.path for folder in folders}
    inhabited = {ancestor for path in (*taken, *paths) for ancestor in _ancestors(path)}
    reason = "The folder is empty. Put images of its class into it, or leave it out."
    return [Rejection(path, "empty_folder", reason) for path in sorted(paths - inhabited)]


def _ancestors(path: str) -> list[str]:
    """All the folders that `path` lies in."""
    return list(accumulate(parts_of(path)[:-1], lambda folder, name: f"{folder}/{name}"))
