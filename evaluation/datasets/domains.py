"""A folder a style with a folder a class in it, as PACS is published (arXiv 1710.03077): one style trains."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from evaluation.datasets.dataset import DataSet, MissingData, TestSet
from evaluation.datasets.files import CLASS_FOLDERS, class_images, folders, part
from evaluation.datasets.prompts import PHOTO
from saft_core.data.samples import Sample


def styles(root: Path) -> list[str]:
    """The styles in `root`, sorted: its folders with folders in them. Raises MissingData."""
    return [name for name in folders(root, "It should hold a folder for each style.") if folders(root / name)]


def read(root: Path, style: str) -> DataSet:
    """The set whose one style trains and tests, and whose other styles are shifted test sets, under their names.

    Of each class of `style`, half of the images train (one more where they are odd) and the others test: a division
    by a hash of the images' paths, the same for everyone. The set is called by its folder and style, `pacs:photo`.

    Raises MissingData.
    """
    known = styles(root)
    if style not in known:
        raise MissingData(f"{root / style} is not there. The styles of {root} are: {', '.join(known) or 'none'}.")
    labels = tuple(folders(root / style, CLASS_FOLDERS))
    divided = [_divided(class_images(root, f"{style}/{name}", label)) for label, name in enumerate(labels)]
    return DataSet(
        f"{root.name}:{style}",
        labels,
        PHOTO,
        train=[one for train, _ in divided for one in train],
        val=(),
        test=[one for _, test in divided for one in test],
        shifted=tuple(TestSet(other, labels, part(root, other, labels), PHOTO) for other in known if other != style),
    )


def _divided(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Both halves, sorted by path. Raises MissingData where the second would be empty."""
    if len(samples) < 2:
        raise MissingData(f"{samples[0].path} is alone in its class: it takes two images to train on one and test one.")
    ranked = sorted(samples, key=_hash)
    middle = (len(ranked) + 1) // 2
    train, test = ranked[:middle], ranked[middle:]
    return sorted(train, key=_path), sorted(test, key=_path)


def _hash(sample: Sample) -> str:
    return hashlib.sha256(os.fsencode(sample.path)).hexdigest()


def _path(sample: Sample) -> str:
    return sample.path
