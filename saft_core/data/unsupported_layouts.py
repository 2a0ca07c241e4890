"""Recognises the layouts of uploads that no module of `label_formats` reads, and refuses them.

Without this check a folder of a split or of masks would be taken for a class. Kaggle, COCO, YOLO, Roboflow, Pascal VOC
and Hugging Face keep labels in separate files, and images in folders named after their purpose (`train`, `masks`). A
class may have such a name too, if other folders have not: `train` beside `bus`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from saft_core.data.folder_names import are_classes, are_splits, has_masks, may_be_classes
from saft_core.data.label_formats.upload import Parts
from saft_core.errors import InvalidDataset


@dataclass(frozen=True, slots=True)
class _Tool:
    """A layout of another tool: its key in the error, its name in words, and the (lower-case) paths it is known by."""

    key: str
    words: str
    files: re.Pattern[str]


_TOOLS = (
    _Tool(
        "coco",
        "COCO's layout, with the labels in a JSON file",
        re.compile(r"(.*/)?([^/]*\.coco\.json|instances_[^/]*\.json|annotations\.json|annotations/[^/]*\.json)"),
    ),
    _Tool(
        "yolo",
        "YOLO's layout, with the labels in text files",
        re.compile(r"(.*/)?((data|dataset)\.ya?ml|_darknet\.labels|obj\.(data|names)|labels/.*\.txt)"),
    ),
    _Tool("voc", "Pascal VOC's layout, with the labels in XML files", re.compile(r".*\.xml")),
    _Tool(
        "huggingface",
        "Hugging Face's layout, with the labels in a metadata file",
        re.compile(r"(.*/)?metadata\.(jsonl|csv|parquet)"),
    ),
    _Tool("table", "a layout with the labels in a table", re.compile(r".*\.(csv|tsv|xlsx?|jsonl?|parquet)")),
)


def refuse_unsupported_layout(files: Sequence[Parts], images: Sequence[Parts], wrapper: Parts) -> None:
    """Raise InvalidDataset with code `unsupported_layout` if folders of `images` below `wrapper` are not classes.

    `files` are all paths of the upload; those that are no images may name the layout. Details hold `layout` (`coco`,
    `yolo`, `voc`, `huggingface`, `table`, `segmentation` or `splits`) and `evidence`, the path or folders that told it.
    """
    folders = sorted({parts[len(wrapper)] for parts in images if len(parts) > len(wrapper) + 1})
    if has_masks(folders):
        raise _unsupported("segmentation", "a layout for segmentation, with masks beside the images", folders)
    found = _tool(set(files).difference(images))
    if found and not are_classes(folders):
        tool, path = found
        raise _unsupported(tool.key, tool.words, [path])
    if are_splits(folders) and not _train_and_test_are_classes(folders, images, wrapper):
        raise _unsupported("splits", "a layout of parts to train and to test on, not of classes", folders)


def _train_and_test_are_classes(folders: Sequence[str], images: Sequence[Parts], wrapper: Parts) -> bool:
    """Whether folders `train` and `test` can be classes: no other folder is a split, and no image lies deeper."""
    return may_be_classes(folders) and all(len(parts) <= len(wrapper) + 2 for parts in images)


def _tool(files: Iterable[Parts]) -> tuple[_Tool, str] | None:
    """The first layout that a file of the upload is known by, and that file; None if there is none."""
    paths = sorted("/".join(parts) for parts in files)
    found = ((tool, path) for tool in _TOOLS for path in paths if tool.files.fullmatch(path.lower()))
    return next(found, None)


def _unsupported(layout: str, words: str, evidence: list[str]) -> InvalidDataset:
    shown = ", ".join(f"'{name}'" for name in evidence[:5])
    return InvalidDataset(
        f"The upload has {words} (seen by {shown}), which is not read. Put the images of each class into a folder"
        " of its own, such as cat/1.jpg and dog/1.jpg, or train/cat/1.jpg and test/cat/2.jpg; or name all images and"
        " their classes in a table labels.csv, with the columns file and label.",
        code="unsupported_layout",
        layout=layout,
        evidence=evidence,
    )
