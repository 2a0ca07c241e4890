"""What an adapter says of each image: its mistakes are what a person looks at first to see what the numbers mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from saft_core.comparison import Answered, Split
from saft_core.data.samples import Sample
from saft_core.tuning.evaluation import Evaluation


@dataclass(frozen=True)
class Mistake:
    """A sample whose class is another than `prediction`, the adapter's most probable one."""

    split: Split
    sample: Sample
    prediction: str


@dataclass(frozen=True)
class Told:
    """The answers on one part of the images; `labels` is what was asked about."""

    split: Split
    samples: Sequence[Sample]
    answers: Evaluation
    labels: Sequence[str]

    def mistakes(self) -> list[Mistake]:
        """The samples, in their order, that are answered wrongly."""
        return [Mistake(self.split, sample, self.labels[said]) for sample, said in self._each() if said != sample.label]

    def answered(self) -> dict[str, Answered]:
        """What is answered of each sample, by the hash of its file."""
        return {
            sample.content(): Answered(self.split, self.labels[sample.label], self.labels[said])
            for sample, said in self._each()
        }

    def _each(self) -> Iterator[tuple[Sample, int]]:
        return zip(self.samples, self.answers.predicted.tolist(), strict=True)
