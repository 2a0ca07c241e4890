"""The example that is shipped: sample photographs in a zip, and an adapter that the product trained on them.

`python -m tools.example` makes the folder. What an upload and an import make of its files is the example.
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
"""Of the folders `train` and `test`, each with a folder a class; SOURCES.csv beside it says whose each picture is."""
CONTAINER = FOLDER / "adapter.saft"
ANSWERS = FOLDER / "answers.json"
DATASET_NAME, ADAPTER_NAME = "Sample photographs", "sample-photographs"

Contents = frozenset[tuple[str, str]]
"""Label and SHA-256 of each image of a dataset."""


@dataclass(frozen=True)
class Example:
    """What is known of the photographs and the adapter.

    answers: what the adapter says of each photograph, by the hash of its file: those of the test dataset, those held
    out from the first training and the others, each by their position.
    """

    container: bytes
    header: DeltaHeader
    answers: Mapping[str, Answered]

    @property
    def mistakes(self) -> Sequence[tuple[str, Answered]]:
        """The hashes of the photographs that it gets wrong, in the order in which mistakes are listed."""
        return [(sha256, told) for sha256, told in self.answers.items() if told.prediction != told.label]

    def contents(self, *, test: bool) -> Contents:
        """What the dataset to train on holds, or that to test on."""
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
