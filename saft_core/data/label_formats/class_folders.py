"""One folder of images per class: `cat/1.jpg`.

Folders that wrap the whole upload are looked through: `photos/cat/1.jpg` is of class `cat` if everything lies in
`photos`. This format is tried last: an upload that is not in it either is refused.
"""

from __future__ import annotations

from saft_core.data.label_formats.upload import Labelled, Parts, Placed, Upload, checked_label, parts_of, placed_by
from saft_core.data.limits import DataLimits
from saft_core.data.unsupported_layouts import refuse_unsupported_layout
from saft_core.errors import InvalidInput


def recognise(upload: Upload) -> Labelled:
    """The folder is the label.

    Codes: `no_class_folder`, `nested_folder`, `empty_label`, `label_too_long`. Raises InvalidDataset with code
    `unsupported_layout` if the folders are not those of classes.
    """
    refuse_unsupported_layout(upload.paths, upload.images, upload.wrapper)
    return placed_by(
        lambda entry: Placed(folder_label(parts_of(entry.path), upload.wrapper, upload.limits), entry), upload.files
    )


def folder_label(parts: Parts, wrapper: Parts, limits: DataLimits) -> str:
    """The label of the file at `parts`. Raises InvalidInput if it does not lie at wrapper/label/file."""
    inner = parts[len(wrapper) :]
    if parts[: len(wrapper)] != wrapper or len(inner) < 2:
        raise InvalidInput(
            f"The file lies in no class folder. Put it into one named after its class: cat/{parts[-1]}.",
            code="no_class_folder",
        )
    if len(inner) > 2:
        raise InvalidInput(
            f"The file lies {len(inner) - 1} folders deep, in '{'/'.join(inner[:-1])}'. Put it directly into its"
            " class folder.",
            code="nested_folder",
        )
    return checked_label(inner[0], limits, "folder's name")
