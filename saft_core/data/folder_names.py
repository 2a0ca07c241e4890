"""What the names of folders say: that they hold a split (to train, validate or test on), masks, or just images."""

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
_JUST_IMAGES = "images"
_TO_TRAIN = frozenset({"tra", "val", "dev"})
_TO_TEST = frozenset({"tes", "eva", "hol"})


def purpose(folder: str) -> str | None:
    """What a folder is for, if its name says so: equal for `val` and `valid`, for `test` and `Test_images2`."""
    if folder.casefold() in _CONTAINERS:
        return _JUST_IMAGES
    match = _SPLIT.fullmatch(folder)
    return match[1][:3].casefold() if match else None


def is_split(folder: str) -> bool:
    """Whether a folder is named after a split of a dataset."""
    return purpose(folder) not in (None, _JUST_IMAGES)


def is_to_train(folder: str) -> bool:
    """Whether a folder is named after images to train or to validate on."""
    return purpose(folder) in _TO_TRAIN


def is_to_test(folder: str) -> bool:
    """Whether a folder is named after images to test on."""
    return purpose(folder) in _TO_TEST


def has_masks(folders: Sequence[str], containers: bool = True) -> bool:
    """Whether some folders hold segmentation masks and, with `containers`, whether others hold just images."""
    names = {folder.casefold() for folder in folders}
    return bool(names & _MASKS and (not containers or names & _CONTAINERS))


def are_splits(folders: Sequence[str]) -> bool:
    """Whether folders are the splits of a dataset: two different splits, or a split and nothing but image folders."""
    purposes = {folder: purpose(folder) for folder in folders}
    found = set(purposes.values()) - {None}
    return len(found - {_JUST_IMAGES}) > 1 or (None not in purposes.values() and len(found) > 1)


def are_classes(folders: Sequence[str]) -> bool:
    """Whether folders of images can only be classes. One folder alone, or `train` and `test`, may be splits as well."""
    return len(folders) > 1 and not are_splits(folders) and not all(map(purpose, folders))


def may_be_classes(folders: Sequence[str]) -> bool:
    """Whether `train` and `test` are the only ones named after a purpose; trains may be a class."""
    return {folder.casefold() for folder in folders if purpose(folder)} == {"train", "test"}
