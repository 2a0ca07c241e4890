"""Any tree with `train` and `test`, which have a folder a class; `val` and `shifted` may be there too."""

from __future__ import annotations

from pathlib import Path

from evaluation.datasets.dataset import DataSet, MissingData, TestSet
from evaluation.datasets.files import CLASS_FOLDERS, folders, images, part
from evaluation.datasets.prompts import PHOTO
from saft_core.templates import Template

SHIFTED = "shifted"


def read(root: Path, name: str, template: Template = PHOTO) -> DataSet:
    """The set in `root`; its classes are the folders of `train`, sorted, and its images are sorted in each.

    In `shifted` lie folders of classes, which are one more test set, or folders of such: as many test sets, under
    their names. A test part may lack classes, and is classified among all of them.

    Raises MissingData.
    """
    labels = tuple(folders(root / "train", CLASS_FOLDERS))
    return DataSet(
        name,
        labels,
        template,
        train=part(root, "train", labels),
        val=part(root, "val", labels) if (root / "val").is_dir() else (),
        test=part(root, "test", labels),
        shifted=tuple(
            TestSet(within.rpartition("/")[2], labels, part(root, within, labels), template)
            for within in _shifted(root)
        ),
    )


def _shifted(root: Path) -> list[str]:
    """Paths of the shifted test sets below `root`. Raises MissingData where classes and sets are mixed."""
    if not (root / SHIFTED).is_dir():
        return []
    found = folders(root / SHIFTED)
    are_classes = [bool(images(root / SHIFTED / name)) for name in found]
    if all(are_classes):
        return [SHIFTED] if found else []
    if any(are_classes):
        raise MissingData(
            f"{root / SHIFTED} has folders with images and folders without. Let it hold a folder for each class, or a"
            " folder for each test set with a folder for each class in it."
        )
    return [f"{SHIFTED}/{name}" for name in found]
