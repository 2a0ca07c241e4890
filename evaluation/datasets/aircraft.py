"""FGVC-Aircraft by variants (arXiv 1306.5151): text files say which image is of which, images lie in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evaluation.datasets.dataset import DataSet, MissingData
from evaluation.datasets.files import lines, listed, refuse_overlap
from evaluation.datasets.prompts import PROMPTS
from saft_core.data.samples import Sample

NAME = "fgvc_aircraft"


def read(data: Path) -> DataSet:
    """The set in `fgvc_aircraft` of the folder of all data sets; labels are in the order of variants.txt.

    Raises MissingData.
    """
    root = data / NAME
    labels = tuple(name for _, name in lines(root / "variants.txt"))
    positions = {name: position for position, name in enumerate(labels)}
    if not labels or len(positions) < len(labels):
        raise MissingData(f"{root / 'variants.txt'} should name each variant once, on a line of its own. Get it anew.")
    train, val, test = (_part(root, f"images_variant_{part}.txt", positions) for part in ("train", "val", "test"))
    untrained = set(range(len(labels))) - {one.label for one in train}
    if untrained:
        raise MissingData(f"{root / 'images_variant_train.txt'} has no image of {labels[min(untrained)]}. Get it anew.")
    refuse_overlap(root, train=train, val=val, test=test)
    return DataSet(NAME, labels, PROMPTS[NAME], train, val, test)


def _part(root: Path, name: str, positions: Mapping[str, int]) -> list[Sample]:
    """Of lines such as `1025794 707-320`: the image's name and the variant's, in the order of the file."""
    file = root / name
    samples = []
    for number, line in lines(file):
        stem, _, variant = line.partition(" ")
        if variant.strip() not in positions:
            raise MissingData(f"{file}, line {number}: {variant.strip()!r} is not in variants.txt. Get both anew.")
        samples.append(listed(root / "images", f"{stem}.jpg", positions[variant.strip()], file))
    return samples
