"""COCO: a JSON file with `images`, `annotations` and `categories`. An image's class is the category of its annotations.

Boxes and outlines are passed over: what counts is that all annotations of an image are of one category. Microsoft's
script that takes images out of Custom Vision writes such a file, and so do Roboflow, CVAT and Label Studio.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from saft_core.data.label_formats.json_files import Key, OtherShape, decode
from saft_core.data.label_formats.labels_files import LabelsFile, Row, labelled_by
from saft_core.data.label_formats.upload import Labelled, Upload

_FILES = re.compile(r".*\.json")
_IS_COCO = re.compile(r"(.*/)?(_annotations\.coco|instances_[^/]*|annotations)\.json")


class _Image(msgspec.Struct, gc=False):
    id: Key
    file_name: str


class _Annotation(msgspec.Struct, gc=False):
    image_id: Key
    category_id: Key


class _Category(msgspec.Struct, gc=False):
    id: Key
    name: str


class _Coco(msgspec.Struct, gc=False):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def recognise(upload: Upload) -> Labelled | None:
    """What COCO's files say, whatever they are called and wherever they lie."""
    return labelled_by(upload, _FILES, _rows)


def _rows(file: LabelsFile) -> Iterator[Row] | None:
    try:
        return _of(decode(file.data, _Coco))
    except OtherShape:
        if _IS_COCO.fullmatch(file.path.lower()):
            raise
        return None


def _of(found: _Coco) -> Iterator[Row]:
    names = {str(category.id): category.name for category in found.categories}
    labels: dict[str, set[str]] = {}
    for annotation in found.annotations:
        name = names.get(str(annotation.category_id))
        if name is not None:
            labels.setdefault(str(annotation.image_id), set()).add(name)
    for image in found.images:
        yield Row((image.file_name,), labels.get(str(image.id), ()))
