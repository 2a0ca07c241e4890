"""Custom Vision's tagged images: what its training API answers, saved as JSON beside the downloaded images.

Custom Vision has no button that exports images. Its API's "get tagged images" lists them, each with an id and tags; the
files are saved under these ids. Python's client writes the same fields with underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from saft_core.data.label_formats.json_files import OtherShape, decode
from saft_core.data.label_formats.labels_files import LabelsFile, Row, labelled_by
from saft_core.data.label_formats.upload import Labelled, Upload

_FILES = re.compile(r".*\.json")


class _Tag(msgspec.Struct, gc=False):
    name: str = msgspec.field(name="tagName")


class _PythonTag(msgspec.Struct, gc=False):
    name: str = msgspec.field(name="tag_name")


Tag = TypeVar("Tag")


class _Image(msgspec.Struct, Generic[Tag], gc=False):
    id: str
    tags: list[Tag | str] | None
    file_name: str | None = None
    name: str | None = None


class _Export(msgspec.Struct, Generic[Tag], gc=False):
    images: list[_Image[Tag]]


_SPELLINGS: tuple[Any, ...] = (list[_Image[_Tag]] | _Export[_Tag], list[_Image[_PythonTag]] | _Export[_PythonTag])


def recognise(upload: Upload) -> Labelled | None:
    """The tag of each image, which is found by its file name, if that was saved, or else by its id."""
    return labelled_by(upload, _FILES, _rows)


def _rows(file: LabelsFile) -> Iterator[Row] | None:
    for spelling in _SPELLINGS:
        try:
            found = decode(file.data, spelling)
        except OtherShape:
            continue
        images = found.images if isinstance(found, _Export) else found
        return _of(images) if images else None
    return None


def _of(images: Sequence[_Image[Any]]) -> Iterator[Row]:
    for image in images:
        names = (image.file_name, image.name, image.id, f"image_{image.id}")
        tags = {tag if isinstance(tag, str) else tag.name for tag in image.tags or ()}
        yield Row(tuple(name for name in names if name), tags)
