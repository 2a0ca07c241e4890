"""All label formats, in the order in which they are tried. To add one, write a module beside these and a line here."""

from __future__ import annotations

from collections.abc import Callable

from saft_core.data.label_formats import (
    class_folders,
    coco,
    custom_vision,
    imagefolder,
    labels_csv,
    one_hot,
    split_folders,
)
from saft_core.data.label_formats.upload import Labelled, Upload

Recognise = Callable[[Upload], Labelled | None]
"""The labelled files of an upload in this format; None if it is in another one. Raises InvalidDataset."""

FORMATS: tuple[Recognise, ...] = (
    split_folders.recognise,
    labels_csv.recognise,
    one_hot.recognise,
    imagefolder.recognise,
    coco.recognise,
    custom_vision.recognise,
)


def labelled(upload: Upload) -> Labelled:
    """The labelled files by the first format that fits, else by class folders. Raises InvalidDataset."""
    found = (recognise(upload) for recognise in FORMATS)
    return next((one for one in found if one is not None), None) or class_folders.recognise(upload)
