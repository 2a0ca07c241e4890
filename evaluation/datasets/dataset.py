"""What every reader gives: labelled images in parts, and the test sets that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from saft_core.data.samples import Sample
from saft_core.templates import Template


class MissingData(Exception):
    """A data set that is not there, or not as its layout has it; the message says what was looked for and where."""


@dataclass(frozen=True)
class TestSet:
    """Images to measure on, classified among `labels` in the prompts of `template`.

    samples: their `label` is a position in `labels`.
    """

    __test__ = False  # no test of pytest's

    name: str
    labels: tuple[str, ...]
    samples: Sequence[Sample]
    template: Template


@dataclass(frozen=True)
class DataSet:
    """One data set as its authors, or CoOp's protocol, divide it.

    labels: class names in label order. template: the prompt that the paper's Table 7 gives it.
    train, val, test: no image is in two of them. val may be empty.
    shifted: test sets of the same task under another distribution, each with the labels it is scored over.
    absent: of shifted test sets that belong to it and are not there, the name and what was looked for.
    """

    name: str
    labels: tuple[str, ...]
    template: Template
    train: Sequence[Sample]
    val: Sequence[Sample]
    test: Sequence[Sample]
    shifted: tuple[TestSet, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def tested(self) -> TestSet:
        """Its own test part over all its labels."""
        return TestSet(self.name, self.labels, self.test, self.template)


def image(root: Path, path: str, label: int) -> Sample:
    """The image at `path` below `root`, by which it is named; read when its bytes are asked for."""
    return Sample(label, path, partial(_read, root, path))


def _read(root: Path, path: str) -> bytes:
    # One Path for each of ImageNet's 1.3 million images would take more memory than all else that is known of them.
    return (root / path).read_bytes()
