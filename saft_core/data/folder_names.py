"""Folders named after what they are for: to train, to validate, to test, or just images."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
_TO_TRAIN = frozenset({"tra", "val", "dev"})
_TO_TEST = frozenset({"tes", "eva", "hol"})


def kind(folder: str) -> str | None:
    """What a folder is for, if its name says so: the same for `val` and `valid`, `test` and `Test_images2`."""
    if folder.casefold() in _CONTAINERS:
        return _CONTAINER_KIND
    match = _SPLIT.fullmatch(folder)
    return match[1][:3].casefold() if match else None


def is_split(folder: str) -> bool:
    """Whether a folder is named after a part of a dataset."""
    return kind(folder) not in (None, _CONTAINER_KIND)


def is_to_train(folder: str) -> bool:
    """Whether a folder is named after images to train or to validate on."""
    return kind(folder) in _TO_TRAIN


def is_to_test(folder: str) -> bool:
    """Whether a folder is named after images to test on."""
    return kind(folder) in _TO_TEST


def has_masks(folders: Sequence[str], containers: bool = True) -> bool:
    """Whether some folders hold pictures of labels, and, if `containers` is asked for, others the images themselves."""
    names = {folder.casefold() for folder in folders}
    return bool(names & _MASKS and (not containers or names & _CONTAINERS))


def are_splits(folders: Sequence[str]) -> bool:
    """Whether folders are parts of a dataset: by two of them, or by all being named after no class."""
    kinds = {folder: kind(folder) for folder in folders}
    found = set(kinds.values()) - {None}
    return len(found - {_CONTAINER_KIND}) > 1 or (None not in kinds.values() and len(found) > 1)


def are_classes(folders: Sequence[str]) -> bool:
    """Whether folders of images can be nothing but classes. One alone, or `train` and `test`, can be either."""
    return len(folders) > 1 and not are_splits(folders) and not all(map(kind, folders))


def may_be_classes(folders: Sequence[str]) -> bool:
    """Whether `train` and `test` are the only ones named after a part: vehicles, unless something says otherwise."""
    return {folder.casefold() for folder in folders if kind(folder)} == {"train", "test"}
