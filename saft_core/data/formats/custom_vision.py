"""Custom Vision's tagged images: what its training API answers, saved as JSON beside the downloaded images.

Custom Vision has no button that exports images. Its API's "get tagged images" lists them, each with an id and tags; the
files are saved under these ids. Python's client writes the same fields with underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from saft_core.data.formats.json_files import OtherShape, decode
from saft_core.data.formats.labels_files import LabelsFile, Row, labelled_by
from saft_core.data.formats.upload import Labelled, Upload

_FILES = re.compile(r".*\.json")


class _Tag(msgspec.Struct, gc=False):
    tagName: str | None = None  # noqa: N815 (its name there)
    tag_name: str | None = None


class _Image(msgspec.Struct, gc=False):
    id: str
    tags: list[_Tag | str] | None
    file_name: str | None = None
    name: str | None = None


class _Export(msgspec.Struct, gc=False):
    images: list[_Image]


def recognise(upload: Upload) -> Labelled | None:
    """The tag of each image, which is found by its file name, if that was saved, or else by its id."""
    return labelled_by(upload, _FILES, _rows)


def _rows(file: LabelsFile) -> Iterator[Row] | None:
    try:
        found = decode(file.data, list[_Image] | _Export)  # type: ignore[arg-type]
    except OtherShape:
        return None
    images = found.images if isinstance(found, _Export) else found
    return _of(images) if images else None


def _of(images: Sequence[_Image]) -> Iterator[Row]:
    for image in images:
        names = (image.file_name, image.name, image.id, f"image_{image.id}")
        yield Row(tuple(name for name in names if name), {label for tag in image.tags or () if (label := _name(tag))})


def _name(tag: _Tag | str) -> str | None:
    return tag if isinstance(tag, str) else tag.tagName or tag.tag_name
