"""The pictures that come with the project: photographs to train and to test on, and drawings of the same classes."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from evaluation.datasets import folders
from evaluation.datasets.dataset import DataSet
from evaluation.datasets.prompts import PHOTO
from saft_core.data.label_formats.upload import names_image
from saft_core.data.samples import Sample
from saft_core.example import PHOTOGRAPHS

NAME = "samples"
DRAWINGS = "drawings"
CHECKOUT = Path(__file__).resolve().parents[2] / "samples/photos"


def read(checkout: Path = CHECKOUT) -> DataSet:
    """The pictures of the repository; where only the package is installed, its photographs, without drawings."""
    if not (checkout / "train").is_dir():
        return _packed(PHOTOGRAPHS)
    found = folders.read(checkout, NAME)
    return replace(found, shifted=tuple(replace(test, name=DRAWINGS) for test in found.shifted))


def _packed(archive: Path) -> DataSet:
    with zipfile.ZipFile(archive) as packed:  # a few megabytes: read at once, so that threads need share no file
        files = {path: packed.read(path) for path in sorted(packed.namelist()) if names_image(path)}
    labels = tuple(sorted({path.split("/")[1] for path in files}))

    def part(name: str) -> list[Sample]:
        own = [path for path in files if path.startswith(f"{name}/")]
        return [Sample(labels.index(path.split("/")[1]), path, partial(bytes, files[path])) for path in own]

    missing = f"The drawings are in a checkout of the project only; {CHECKOUT} is not there."
    return DataSet(NAME, labels, PHOTO, part("train"), (), part("test"), absent={DRAWINGS: missing})
