"""The paper's tables and figures by their numbers: a new one is a function here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from evaluation import protocols, retrieval
from evaluation.methods.catalogue import ENCODERS, FEW, FULL, SELECTIONS, ZERO_SHOT
from evaluation.methods.method import Method
from evaluation.methods.sparse import SAFT
from evaluation.report.contact_sheet import contact_sheet
from evaluation.report.plots import (
    Trade,
    accuracy_by_shots,
    density_curve,
    difference_by_column,
    entries_by_block,
)
from evaluation.study import Study
from evaluation.tables import Table


@dataclass(frozen=True)
class Work:
    """What tables and figures are made of.

    others: studies of other bases by name, loaded when they are asked for. methods: those that were asked for.
    """

    study: Study
    others: Mapping[str, Callable[[], Study]]
    datasets: Sequence[str]
    methods: Sequence[Method]

    @property
    def source(self) -> str:
        """The data set that whatever takes only one is made on: the first."""
        return self.datasets[0]

    def of(self, methods: Sequence[Method]) -> list[Method]:
        """Those of `methods` that were asked for."""
        return [method for method in methods if method in self.methods]

    @cached_property
    def shifted(self) -> Sequence[str]:
        """The data sets that have a shifted part; the first where none has."""
        found = [name for name in self.datasets if self.study.has(name) and self.study.dataset(name).shifted]
        return found or self.datasets[:1]


def _shifts(work: Work) -> list[Table]:
    return [protocols.distribution_shift(work.study, name, work.methods) for name in work.shifted]


def _image_encoders(work: Work) -> list[Table]:
    studies = {work.study.base.name: lambda: work.study, **work.others}
    return [protocols.image_encoders(studies, work.shifted[0], work.of(FEW))]


TABLES: Mapping[str, Callable[[Work], list[Table]]] = {
    "1": _shifts,
    "2": lambda work: [protocols.base_to_new(work.study, work.datasets, work.methods)],
    "3": lambda work: [protocols.cross_dataset(work.study, work.source, work.datasets[1:], work.methods)],
    "4": _image_encoders,
    "5": lambda work: [protocols.selections(work.study, work.shifted[0], work.of(SELECTIONS))],
    "8": lambda work: [protocols.encoders(work.study, work.shifted[0], work.of(ENCODERS))],
    "10": lambda work: protocols.base_to_new_by_dataset(work.study, work.datasets, work.methods),
    "11": lambda work: [protocols.shots(work.study, work.source, work.of(FEW))],
    "12": lambda work: [protocols.densities(work.study, work.shifted[0], SAFT, work.of([ZERO_SHOT, FULL]))],
}


def _densities(work: Work) -> str:
    table = protocols.densities(work.study, work.shifted[0], SAFT, [ZERO_SHOT, FULL])
    trades = {name: Trade(row.cells[work.shifted[0]], row.cells[protocols.OOD]) for name, row in table.rows.items()}
    by_density = {density: trades[protocols.at_density(SAFT, density)] for density in protocols.DENSITIES}
    return density_curve(by_density, {method.name: trades[method.name] for method in (ZERO_SHOT, FULL)})


def _differences(work: Work) -> str:
    table = protocols.distribution_shift(work.study, work.shifted[0], [FULL, SAFT])
    return difference_by_column(table, SAFT.name, FULL.name)


def _shots(work: Work) -> str:
    rows = protocols.shots(work.study, work.source, FEW).rows
    curves = {name: dict(zip(protocols.SHOTS, row.cells.values(), strict=True)) for name, row in rows.items()}
    flat = curves.pop(ZERO_SHOT.name)
    return accuracy_by_shots(curves, flat[protocols.SHOTS[0]])


def _blocks(work: Work) -> str:
    return entries_by_block(work.study.outcomes(SAFT, work.source)[0].blocks)


def _retrieved(work: Work) -> Image.Image:
    return contact_sheet(retrieval.queries(work.study, SAFT, work.source))


@dataclass(frozen=True)
class Figure:
    """One figure: what is under it, and how it is made, as SVG or as a picture."""

    caption: str
    draw: Callable[[Work], str | Image.Image]


FIGURES: Mapping[str, Figure] = {
    "1": Figure("Accuracy where it was trained against accuracy under shift, by density", _densities),
    "3": Figure("The first five pictures of a search by words, base above adapter", _retrieved),
    "4": Figure("SAFT less full fine-tuning", _differences),
    "5": Figure("Accuracy by shots", _shots),
    "6": Figure("Selected entries by block of both encoders", _blocks),
}
