"""Which images an adapter gets wrong: what a person looks at first to see what the numbers mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from saft_core.data.samples import Sample
from saft_core.tuning.evaluation import Evaluation

Split = Literal["test", "held-out", "training"]


@dataclass(frozen=True)
class Mistake:
    """A sample whose class is another than `prediction`, the adapter's most probable one."""

    split: Split
    sample: Sample
    prediction: str


def mistakes(split: Split, samples: Sequence[Sample], answers: Evaluation, labels: Sequence[str]) -> list[Mistake]:
    """Those of `samples`, in their order, that are answered wrongly."""
    told = zip(samples, answers.predicted.tolist(), strict=True)
    return [Mistake(split, sample, labels[said]) for sample, said in told if said != sample.label]
