"""Class folders within folders to train, to validate and to test on: `train/cat/1.jpg`, `test/cat/2.jpg`.

So Roboflow, Keras, torchvision and YOLO keep images for classification. What is to train and to validate on is one
dataset, what is to test on another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from saft_core.data.entries import Entry
from saft_core.data.folder_names import has_masks, is_split, is_to_test, is_to_train, purpose
from saft_core.data.label_formats.class_folders import folder_label
from saft_core.data.label_formats.upload import Labelled, Parts, Placed, Upload, parts_of, placed_by, wrapper_of
from saft_core.errors import InvalidInput


def recognise(upload: Upload) -> Labelled | None:
    """Files by split and class, if two splits or more are there and one to train on holds class folders.

    Two folders `train` and `test` with images directly in them are no splits. Codes: those of `class_folders`.
    """
    depth = len(upload.wrapper)
    images: dict[str, list[Parts]] = defaultdict(list)
    for parts in upload.images:
        if len(parts) > depth + 1:
            images[parts[depth]].append(parts)
    splits = {folder: wrapper_of(held, depth + 1) for folder, held in images.items() if is_split(folder)}
    if len({purpose(folder) for folder in splits}) < 2 or has_masks(list(images), containers=False):
        return None
    if not any(is_to_train(folder) and _has_classes(images[folder], inner) for folder, inner in splits.items()):
        return None
    return placed_by(lambda entry: _placed(entry, upload, splits), upload.files)


def _has_classes(images: Sequence[Parts], wrapper: Parts) -> bool:
    """Whether the folders right below `wrapper` are those of classes, as the rule for wrappers tells."""
    depth = len(wrapper)
    folders = {parts[depth] for parts in images if len(parts) > depth + 1}
    loose = any(len(parts) == depth + 1 for parts in images)
    return bool(folders) and not all(map(purpose, folders)) and not (loose and len(folders) < 2)


def _placed(entry: Entry, upload: Upload, splits: Mapping[str, Parts]) -> Placed:
    """The file with its label. Raises InvalidInput if it lies in no class folder of a split to learn from."""
    parts, depth = parts_of(entry.path), len(upload.wrapper)
    folder = parts[depth] if parts[:depth] == upload.wrapper and len(parts) > depth + 1 else ""
    if not (is_to_train(folder) or is_to_test(folder)) or folder not in splits:
        known = ", ".join(f"'{name}'" for name in sorted(splits))
        raise InvalidInput(
            f"The file lies beside the folders {known} and not in one of them. Put it into a class folder of one.",
            code="no_class_folder",
        )
    return Placed(folder_label(parts, splits[folder], upload.limits), entry, test=is_to_test(folder))
