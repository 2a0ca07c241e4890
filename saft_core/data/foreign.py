"""Layouts of other tools, told from one folder per class so that neither a split nor a mask becomes a class.

Kaggle, COCO, YOLO, Roboflow, Pascal VOC and Hugging Face keep labels in files of their own, and images in folders named
after what they are for. Those names are the evidence. A class may have such a name beside others: `train`, `bus`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from saft_core.errors import InvalidDataset

Parts = tuple[str, ...]

_SPLIT = re.compile(
    r"(train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|dev|eval(?:uation)?|hold[\W_]?out|unlabell?ed)"
    r"(?:[\W_]*(?:images?|imgs?|set|data(?:set)?|split)|[ab])?[\W_]*\d*",
    re.IGNORECASE,
)
_CONTAINERS = frozenset({"image", "images", "img", "imgs", "jpegimages"})
_MASKS = frozenset(
    {"annotations", "ground_truth", "gt", "labels", "mask", "masks", "segmentation", "segmentationclass"}
)
_CONTAINER_KIND = "images"


@dataclass(frozen=True, slots=True)
class _Tool:
    """A way to keep labels, and the paths (in lower case) that give it away."""

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


def refuse_foreign_layout(files: Sequence[Parts], images: Sequence[Parts], wrapper: Parts) -> None:
    """Raise InvalidDataset with code `unsupported_layout` if folders of `images` below `wrapper` are not classes.

    `files` are all paths of the upload; those that are no images may name the layout. Details hold `layout` (`coco`,
    `yolo`, `voc`, `huggingface`, `table`, `segmentation` or `splits`) and `evidence`, the path or folders that told it.
    """
    folders = sorted({parts[len(wrapper)] for parts in images if len(parts) > len(wrapper) + 1})
    if _masks(folders):
        raise _unsupported("segmentation", "a layout for segmentation, with masks beside the images", folders)
    found = _tool(set(files).difference(images))
    if not (_splits(folders) or (found and (len(folders) < 2 or all(map(_kind, folders))))):
        return
    if found:
        tool, path = found
        raise _unsupported(tool.key, tool.words, [path])
    raise _unsupported("splits", "a layout of parts to train and to test on, not of classes", folders)


def _masks(folders: Sequence[str]) -> bool:
    """Whether some folders hold pictures of labels, and others the images themselves."""
    names = {folder.casefold() for folder in folders}
    return bool(names & _CONTAINERS and names & _MASKS)


def _splits(folders: Sequence[str]) -> bool:
    """Whether the folders are parts of a dataset: by two of them, or by all being named after no class."""
    kinds = {folder: _kind(folder) for folder in folders}
    found = set(kinds.values()) - {None}
    return len(found - {_CONTAINER_KIND}) > 1 or (None not in kinds.values() and len(found) > 1)


def _kind(folder: str) -> str | None:
    """What a folder is for, if its name says so: the same for `val` and `valid`, `test` and `Test_images2`."""
    if folder.casefold() in _CONTAINERS:
        return _CONTAINER_KIND
    match = _SPLIT.fullmatch(folder)
    return match[1][:3].casefold() if match else None


def _tool(files: Iterable[Parts]) -> tuple[_Tool, str] | None:
    """The first way to keep labels that a file of the upload gives away, and that file."""
    paths = sorted("/".join(parts) for parts in files)
    found = ((tool, path) for tool in _TOOLS for path in paths if tool.files.fullmatch(path.lower()))
    return next(found, None)


def _unsupported(layout: str, words: str, evidence: list[str]) -> InvalidDataset:
    shown = ", ".join(f"'{name}'" for name in evidence[:5])
    return InvalidDataset(
        f"The upload has {words} (seen by {shown}), which is not read yet. Put the images of each class into a folder"
        " of its own, such as cat/1.jpg and dog/1.jpg, and upload images to train and to test on as two datasets: the"
        " class folders within train as one, those within test as the other.",
        code="unsupported_layout",
        layout=layout,
        evidence=evidence,
    )
