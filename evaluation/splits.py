"""Which images train, which choose settings, and which classes are new: CoOp's protocol (arXiv 2109.01134)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saft_core.data.samples import Sample
from saft_core.templates import Template


@dataclass(frozen=True)
class Shots:
    """What a method is given: a few labelled images of each class.

    train: what it learns from. val: held shots, which settings may be chosen by. labels: class names, in label order.
    """

    labels: tuple[str, ...]
    template: Template
    train: Sequence[Sample]
    val: Sequence[Sample]
