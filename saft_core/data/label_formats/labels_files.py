"""What the formats with labels files have in common: finding these files, and the images that they name.

A name in a labels file is a key to look up among the uploaded files and nothing else. It is a path from the folder of
the labels file, from one around it, or the end of exactly one path; a name without an image's ending stands for the
image of that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from saft_core.data.entries import Entry, Rejection
from saft_core.data.folder_names import is_to_test
from saft_core.data.label_formats.upload import (
    Labelled,
    Parts,
    Placed,
    Upload,
    checked_label,
    names_image,
    parts_of,
    placed_by,
)
from saft_core.data.paths import normalise_path, printable
from saft_core.errors import InvalidDataset, InvalidInput

MAX_LABELS_FILES = 16
"""An upload with more of them has one for each image, as no format here has."""
MAX_LISTED_MISSING = 1_000
"""Files that a labels file names and the upload does not hold; those beyond are counted."""
ROWS_PER_IMAGE = 20
"""A labels file may be that of a larger set, of which the upload holds a part."""
_LISTED_LABELS = 3
_TAIL_PARTS = 4
"""So many parts of a path's end may stand for it."""

ENDINGS = (".csv", ".tsv", ".json", ".jsonl")
"""Of files that may be labels files: `max_labels_bytes` holds for them."""


def check_labels_size(size_bytes: int, max_labels_bytes: int) -> None:
    """Raise InvalidInput for a labels file that is too large to be read."""
    if size_bytes > max_labels_bytes:
        raise InvalidInput(
            f"It has {size_bytes:,} bytes; of a labels file at most {max_labels_bytes:,} are taken"
            " (max_labels_bytes). Leave out what is no label, or upload in parts.",
            code="labels_file_too_large",
        )


class Malformed(Exception):
    """What is wrong with a labels file, as a sentence without the file's name."""


@dataclass(frozen=True, slots=True)
class Row:
    """A file by the names that it may have, and the labels that a labels file gives it: one, if it is to be used."""

    names: tuple[str, ...]
    labels: Collection[str]


@dataclass(frozen=True)
class LabelsFile:
    """A labels file; `knows` tells whether the upload holds a file of a name that may stand in it."""

    path: str
    data: bytes
    knows: Callable[[str], bool]


Parse = Callable[[LabelsFile], Iterable[Row] | None]
"""The rows of a labels file; None if it is of another format. Raises Malformed, also while rows are taken."""


def labelled_by(upload: Upload, names: re.Pattern[str], parse: Parse) -> Labelled | None:
    """What labels files say, whose paths in lower case `names` matches; None if there are none, or the folders say it.

    Codes: `missing_file` (named, but not uploaded), `ambiguous_name`, `unlabelled` (uploaded, but not named),
    `no_label`, `several_labels`, `empty_label`, `label_too_long`, `control_characters`.

    Raises InvalidDataset with code `invalid_labels_file` or `labels_file_too_large`, and the code of the reason if
    a labels file was turned away before.
    """
    if upload.is_sorted:
        return None
    _refuse_turned_away(upload, names)
    found = [entry for entry in upload.files if names.fullmatch(entry.path.lower())]
    if not 0 < len(found) <= MAX_LABELS_FILES:
        return None
    reading = _Reading(upload, {entry.path for entry in found})
    read = [entry.path for entry in found if reading.take(entry, parse)]
    return reading.finish(set(read)) if read else None


def _refuse_turned_away(upload: Upload, names: re.Pattern[str]) -> None:
    """Without its labels file an upload would be taken for something else."""
    for rejection in upload.turned_away:
        if names.fullmatch(rejection.path.lower().replace("\\", "/")):
            raise _invalid(rejection.path, rejection.reason, rejection.code)


def _invalid(path: str, why: str, code: str = "invalid_labels_file") -> InvalidDataset:
    shown = printable(path)
    return InvalidDataset(f"The labels file '{shown}' cannot be read. {why}", code=code, file=shown)


class _Reading:
    """The labels that have been read from the labels files so far."""

    def __init__(self, upload: Upload, labels_files: Collection[str]) -> None:
        self._upload = upload
        self._index = _Index([entry.path for entry in upload.files if entry.path not in labels_files], upload.wrapper)
        self._labels: dict[str, set[str]] = {}  # by the file's path
        self._rejected: list[Rejection] = []
        self._missing = 0
        self._rows_left = ROWS_PER_IMAGE * upload.limits.max_dataset_images

    def take(self, entry: Entry, parse: Parse) -> bool:
        """Read one labels file. False if it is of another format."""
        around = self._index.around(parts_of(entry.path)[:-1])
        file = LabelsFile(entry.path, self._bytes(entry), lambda name: isinstance(self._index.find(name, around), str))
        try:
            rows = parse(file)
            if rows is None:
                return False
            for row in rows:
                self._add(row, entry.path, around)
        except Malformed as error:
            raise _invalid(entry.path, str(error)) from error
        except RecursionError as error:
            raise _invalid(entry.path, "It is nested too deeply.") from error
        return True

    def _bytes(self, entry: Entry) -> bytes:
        try:
            data = entry.read()
            check_labels_size(len(data), self._upload.limits.max_labels_bytes)
        except InvalidInput as error:
            raise _invalid(entry.path, error.message, error.error_code) from error
        return data

    def _add(self, row: Row, source: str, around: Sequence[str]) -> None:
        self._rows_left -= 1
        if self._rows_left < 0:
            raise Malformed(
                f"It has more than {ROWS_PER_IMAGE} rows for each image that a dataset may have"
                " (max_dataset_images). Leave out the rows of files that are not in the upload."
            )
        found = [place for name in row.names if (place := self._index.find(name, around)) is not None]
        if any(isinstance(place, str) for place in found):
            path = next(place for place in found if isinstance(place, str))
            self._labels.setdefault(path, set()).update(row.labels)
            return
        self._missing += 1
        if self._missing <= MAX_LISTED_MISSING:
            name = row.names[0]
            self._rejected.append(_ambiguous(name, source) if found else _missing(name, source))

    def finish(self, read: Collection[str]) -> Labelled:
        """The labelled files by all labels files together; `read` are the paths of those that were read."""
        images = [entry for entry in self._upload.files if entry.path not in read]
        found = placed_by(lambda one: Placed(self._label(one.path), one, self._is_to_test(one.path)), images)
        placed, rejected = found.placed, [*self._rejected, *found.rejected]
        if all(one.test for one in placed):  # one part alone is the dataset
            placed = tuple(Placed(one.label, one.entry) for one in placed)
        if self._missing > MAX_LISTED_MISSING:
            more = self._missing - MAX_LISTED_MISSING
            path = ", ".join(sorted(read))
            rejected.append(Rejection(path, "missing_file", f"It names {more:,} more files that were not found."))
        return Labelled(placed, tuple(rejected))

    def _label(self, path: str) -> str:
        """The one label of a file. Raises InvalidInput if it has none, or several."""
        labels = self._labels.get(path)
        if labels is None:
            raise InvalidInput("No labels file names it. Name it in one, or leave it out.", code="unlabelled")
        if not labels:
            raise InvalidInput("The labels file gives it no label. An image has one.", code="no_label")
        if len(labels) > 1:
            shown = ", ".join(f"'{printable(label[:100])}'" for label in sorted(labels)[:_LISTED_LABELS])
            raise InvalidInput(
                f"It has {len(labels)} labels, such as {shown}. An image has one: leave it out, or keep one of them.",
                code="several_labels",
            )
        return checked_label(next(iter(labels)), self._upload.limits)

    def _is_to_test(self, path: str) -> bool:
        parts, wrapper = parts_of(path), self._upload.wrapper
        inner = parts[len(wrapper) :] if parts[: len(wrapper)] == wrapper else parts
        return any(map(is_to_test, inner[:-1]))


def _missing(name: str, source: str) -> Rejection:
    return Rejection(printable(name), "missing_file", f"'{source}' names it, but the upload holds no such file.")


def _ambiguous(name: str, source: str) -> Rejection:
    reason = f"'{source}' names it, but several files end like that. Write more of its path."
    return Rejection(printable(name), "ambiguous_name", reason)


class _Several:
    """The result of looking up a name with which more than one path ends."""


_SEVERAL = _Several()


class _Index:
    """Looks up uploaded files by the names that a labels file may give them."""

    def __init__(self, paths: Sequence[str], wrapper: Parts) -> None:
        stems = _unique((path.rpartition(".")[0], path) for path in paths if names_image(path))
        # By the whole path, and for images by the path without its ending if no other has it.
        self._exact = {stem: path for stem, path in stems.items() if isinstance(path, str)} | {p: p for p in paths}
        self._tails = _unique((tail, path) for name, path in self._exact.items() for tail in _ends(name))
        self._wrapper = wrapper

    def around(self, folder: Parts) -> tuple[str, ...]:
        """What may stand before a name in a labels file of `folder`."""
        return tuple("".join(f"{part}/" for part in parts) for parts in (folder, folder[:-1], self._wrapper, ()))

    def find(self, name: str, around: Sequence[str]) -> str | _Several | None:
        """The path of the file that a labels file calls `name`."""
        try:
            inner = normalise_path(name.strip())
        except InvalidInput:
            return None
        found = (self._exact.get(before + inner) for before in around)
        return next((path for path in found if path is not None), None) or self._tails.get(inner)


def _ends(path: str) -> list[str]:
    parts = parts_of(path)
    return ["/".join(parts[-count:]) for count in range(1, min(len(parts), _TAIL_PARTS) + 1)]


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str | _Several]:
    """The value of each key, where it has one alone."""
    found: dict[str, str | _Several] = {}
    for key, value in pairs:
        if found.setdefault(key, value) != value:
            found[key] = _SEVERAL
    return found
