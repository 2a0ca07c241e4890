"""What every reader gives: labelled images in parts, and the test sets that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """

    name: str
    labels: tuple[str, ...]
    template: Template
    train: Sequence[Sample]
    val: Sequence[Sample]
    test: Sequence[Sample]
    shifted: tuple[TestSet, ...] = ()

    @property
    def tested(self) -> TestSet:
        """Its own test part over all its labels."""
        return TestSet(self.name, self.labels, self.test, self.template)


def image(path: Path, root: Path, label: int) -> Sample:
    """The image at `path`, named by where it lies below `root`; read when its bytes are asked for."""
    return Sample(label, path.relative_to(root).as_posix(), path.read_bytes)
