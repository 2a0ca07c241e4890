"""The predictions of an adapter image by image, and its mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from saft_core.comparison import Answered, Split
from saft_core.data.samples import Sample
from saft_core.tuning.predictions import Predictions


@dataclass(frozen=True)
class Mistake:
    """A sample whose class is another than `prediction`, the adapter's most probable one."""

    split: Split
    sample: Sample
    prediction: str


@dataclass(frozen=True)
class PredictedSplit:
    """The predictions on one split of the images. labels: the classes that were predicted among, by position."""

    split: Split
    samples: Sequence[Sample]
    answers: Predictions
    labels: Sequence[str]

    def mistakes(self) -> list[Mistake]:
        """The misclassified samples, in the order of `samples`."""
        return [Mistake(self.split, sample, self.labels[said]) for sample, said in self._each() if said != sample.label]

    def answered(self) -> dict[str, Answered]:
        """The prediction of each sample, by the SHA-256 of its file."""
        return {
            sample.content(): Answered(self.split, self.labels[sample.label], self.labels[said])
            for sample, said in self._each()
        }

    def _each(self) -> Iterator[tuple[Sample, int]]:
        return zip(self.samples, self.answers.predicted.tolist(), strict=True)
