"""ImageNet, and the four sets that show its classes under another distribution.

Folders are called by WordNet's numbers (wnids); `imagenet/classnames.txt`, which CoOp publishes, gives each its words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evaluation.datasets.dataset import DataSet, MissingData, TestSet
from evaluation.datasets.files import CLASS_FOLDERS, INSTRUCTIONS, class_images, folders, lines, part
from evaluation.datasets.prompts import PHOTO, PROMPTS

NAME = "imagenet"
V2 = Path("imagenetv2/imagenetv2-matched-frequency-format-val")
SKETCH = Path("imagenet-sketch/images")
ADVERSARIAL = Path("imagenet-adversarial/imagenet-a")
RENDITION = Path("imagenet-rendition/imagenet-r")

Names = Mapping[str, str]
"""Words by wnid."""


def read(data: Path) -> DataSet:
    """The set in `imagenet` of the folder of all data sets, tested on its validation images, as is usual.

    Labels are the folders of `images/train`, sorted. There is no validation part. Of the shifted test sets, those
    that are there beside it; `absent` says of each other what is missing.

    Raises MissingData.
    """
    root = data / NAME / "images"
    names = _names(data / NAME / "classnames.txt")
    wnids = folders(root / "train")
    if not wnids or wnids != folders(root / "val"):
        raise MissingData(
            f"{root / 'train'} and {root / 'val'} should have the same folders, one a class. {INSTRUCTIONS}"
        )
    labels = _labels(wnids, names, root / "train")
    shifted, absent = _shifted(data, names, wnids)
    train, test = part(root, "train", wnids), part(root, "val", wnids)
    return DataSet(NAME, labels, PROMPTS[NAME], train, (), test, shifted, absent)


def _names(file: Path) -> dict[str, str]:
    """Of lines such as `n01440764 tench`."""
    names: dict[str, str] = {}
    for number, line in lines(file):
        wnid, _, words = line.partition(" ")
        if not words or names.setdefault(wnid, words) != words:
            raise MissingData(
                f"{file}, line {number}: it should be a wnid that no other line has, a blank and the name of the class."
                " Get it anew."
            )
    return names


def _labels(wnids: Sequence[str], names: Names, folder: Path) -> tuple[str, ...]:
    unknown = [wnid for wnid in wnids if wnid not in names]
    if unknown:
        raise MissingData(f"{folder / unknown[0]} is of no class of classnames.txt. Remove it, or get that file anew.")
    return tuple(names[wnid] for wnid in wnids)


def _shifted(data: Path, names: Names, wnids: Sequence[str]) -> tuple[tuple[TestSet, ...], dict[str, str]]:
    found, absent = [], {}
    readers: dict[str, Callable[[str], TestSet]] = {
        "imagenetv2": lambda name: _v2(name, data / V2, names, wnids),
        "imagenet_sketch": lambda name: _sketch(name, data / SKETCH, names, wnids),
        "imagenet_a": lambda name: _own_classes(name, data / ADVERSARIAL, names),
        "imagenet_r": lambda name: _own_classes(name, data / RENDITION, names),
    }
    for name, reader in readers.items():
        try:
            found.append(reader(name))
        except MissingData as missing:
            absent[name] = str(missing)
    return tuple(found), absent


def _v2(name: str, root: Path, names: Names, wnids: Sequence[str]) -> TestSet:
    """ImageNetV2 (arXiv 1902.10811): its folders are called by positions among the sorted wnids."""
    places = {wnid: str(place) for place, wnid in enumerate(sorted(names))}
    samples = [one for label, wnid in enumerate(wnids) for one in class_images(root, places[wnid], label)]
    return TestSet(name, _labels(wnids, names, root), samples, PHOTO)


def _sketch(name: str, root: Path, names: Names, wnids: Sequence[str]) -> TestSet:
    """ImageNet-Sketch (arXiv 1905.13549), of the same classes."""
    samples = [one for label, wnid in enumerate(wnids) for one in class_images(root, wnid, label)]
    return TestSet(name, _labels(wnids, names, root), samples, PHOTO)


def _own_classes(name: str, root: Path, names: Names) -> TestSet:
    """ImageNet-A (arXiv 1907.07174) or -R (arXiv 2006.16241): of 200 classes each, and scored over these alone."""
    wnids = folders(root)
    if not wnids:
        raise MissingData(f"{root} holds no folder. {CLASS_FOLDERS}")
    samples = [one for label, wnid in enumerate(wnids) for one in class_images(root, wnid, label)]
    return TestSet(name, _labels(wnids, names, root), samples, PHOTO)
