"""The shipped example: sample photographs in a zip, and an adapter that the service trained on them.

`python -m tools.example` makes the folder. A tenant gets the example as an upload and an import of its files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from saft_core.comparison import Answered, Split
from saft_core.delta import DeltaHeader, decode

FOLDER = Path(__file__).with_name("example_photographs")
PHOTOGRAPHS = FOLDER / "photos.zip"
"""Folders `train` and `test`, each with a folder for each class; SOURCES.csv beside it names the authors."""
CONTAINER = FOLDER / "adapter.saft"
ANSWERS = FOLDER / "answers.json"
DATASET_NAME, ADAPTER_NAME = "Sample photographs", "sample-photographs"

Contents = frozenset[tuple[str, str]]
"""Label and SHA-256 of each image of a dataset."""


@dataclass(frozen=True)
class Example:
    """The adapter of the example and its predictions.

    answers: the prediction for each photograph, by the SHA-256 of its file: first those of the test dataset, then those
    held out from the first training, then the others, each in the order of their positions.
    """

    container: bytes
    header: DeltaHeader
    answers: Mapping[str, Answered]

    @property
    def mistakes(self) -> Sequence[tuple[str, Answered]]:
        """(SHA-256, prediction) of the photographs that the adapter gets wrong, as mistakes are listed."""
        return [(sha256, told) for sha256, told in self.answers.items() if told.prediction != told.label]

    def contents(self, *, test: bool) -> Contents:
        """(label, SHA-256) of the images of the test dataset, or of the training dataset."""
        found = self.answers.items()
        return frozenset((told.label, sha256) for sha256, told in found if (told.split == "test") == test)


@cache
def load_example() -> Example:
    """The example, read once."""
    container = CONTAINER.read_bytes()
    _, header = decode(container, max_bytes=len(container))
    rows: list[tuple[str, Split, str, str]] = json.loads(ANSWERS.read_text("utf-8"))
    answers = {sha256: Answered(split, label, prediction) for sha256, split, label, prediction in rows}
    return Example(container, header, answers)
