"""The cells of each table are the outcomes of the fits that it stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation import protocols
from evaluation.conditions import Conditions
from evaluation.datasets.dataset import DataSet
from evaluation.journal import Journal
from evaluation.methods.catalogue import FULL, ZERO_SHOT
from evaluation.methods.linear_probe import LinearProbe
from evaluation.methods.maple import MaPLe
from evaluation.methods.sparse import SAFT
from evaluation.report.estimates import estimate
from evaluation.study import BASE, NEW, Study
from evaluation.tables import Cell
from tests.fixtures import toy_data
from tests.fixtures.models import make_base

FEW = Conditions(4, (1, 2), 1, 8, "none", 0.01, 0.1, tune=False)


def find(name: str) -> DataSet:
    data = toy_data.find(name.removeprefix("partial "))
    if name.startswith("partial"):
        return replace(data, name=name, absent={"dark squares": "no folder dark"})
    return data


@pytest.fixture
def study(tmp_path: Path) -> Study:
    journal = Journal(tmp_path / "results.jsonl")
    return Study(
        make_base("vit"), find, journal, FEW, lambda _: None, source="squares", transfers=("circles", "absent")
    )


def accuracies(cell: Cell) -> list[list[float]]:
    return [[float(right.mean()) for right in runs] for runs in cell.tests]


def test_distribution_shift_has_a_column_a_distribution_and_the_mean_of_the_shifted(study: Study) -> None:
    table = protocols.distribution_shift(study, "squares", [ZERO_SHOT, SAFT])
    assert table.columns == ["squares", "bright squares", protocols.OOD]
    row = table.rows["SAFT"]
    outcomes = study.outcomes(SAFT, "squares")
    for column in ("squares", "bright squares"):
        rights = [outcome.right[column] for outcome in outcomes]
        assert accuracies(row.cells[column]) == [[right.count("1") / len(right) for right in rights]]
    assert accuracies(row.cells[protocols.OOD]) == accuracies(row.cells["bright squares"])
    assert row.trainable == outcomes[0].trainable
    assert row.seconds == pytest.approx(np.mean([outcome.seconds for outcome in outcomes]))
    assert row.epochs == 1


def test_a_shifted_part_that_is_not_there_is_an_empty_cell_with_the_reason(study: Study) -> None:
    table = protocols.distribution_shift(study, "partial squares", [ZERO_SHOT])
    assert table.rows["zero-shot"].cells["dark squares"].missing == "no folder dark"


def test_a_data_set_that_is_not_there_is_an_empty_table_with_the_reason(study: Study) -> None:
    for table in (
        protocols.distribution_shift(study, "absent", [SAFT]),
        protocols.base_to_new(study, ["absent"], [SAFT]),
        protocols.cross_dataset(study, "absent", ["squares"], [SAFT]),
        protocols.shots(study, "absent", [SAFT]),
        protocols.densities(study, "absent", SAFT, [SAFT]),
    ):
        assert {cell.missing for cell in table.rows["SAFT"].cells.values()} == {"there is no absent"}


def test_base_to_new_has_the_harmonic_mean_and_no_figure_where_new_classes_cannot_be_named(study: Study) -> None:
    table = protocols.base_to_new(study, ["squares", "circles"], [SAFT, LinearProbe(), MaPLe()])
    (squares, circles) = protocols.base_to_new_by_dataset(study, ["squares", "circles"], [SAFT])
    base, new = (
        np.mean([estimate(one.rows["SAFT"].cells[column]).mean for one in (squares, circles)]) for column in (BASE, NEW)
    )
    assert estimate(table.rows["SAFT"].cells[protocols.HARMONIC]).mean == pytest.approx(2 * base * new / (base + new))
    probe = table.rows["linear probe"].cells
    assert probe[BASE].tests
    assert probe[NEW].missing == probe[protocols.HARMONIC].missing == protocols.CANNOT_NAME


def test_the_average_is_over_the_data_sets_that_are_there_and_names_the_others(study: Study) -> None:
    table = protocols.base_to_new(study, ["squares", "absent"], [SAFT])
    (alone,) = protocols.base_to_new_by_dataset(study, ["squares"], [SAFT])
    assert accuracies(table.rows["SAFT"].cells[NEW]) == accuracies(alone.rows["SAFT"].cells[NEW])
    assert table.title.endswith("over 1 data set")
    assert table.notes == ["without absent: there is no absent"]


def test_cross_dataset_is_one_fit_tested_everywhere(study: Study) -> None:
    table = protocols.cross_dataset(study, "squares", ["circles", "absent"], [SAFT])
    cells = table.rows["SAFT"].cells
    assert accuracies(cells[protocols.AVERAGE]) == accuracies(cells["circles"])
    assert cells["absent"].missing == "there is no absent"
    assert [outcome.run.dataset for outcome in study.outcomes(SAFT, "squares")] == ["squares", "squares"]


def test_shots_and_densities_are_fits_of_their_own(study: Study) -> None:
    by_shots = protocols.shots(study, "squares", [ZERO_SHOT, SAFT])
    assert list(by_shots.rows["SAFT"].cells) == ["1 shot", "2 shots", "4 shots", "8 shots", "16 shots"]
    flat = {tuple(np.ravel(accuracies(cell))) for cell in by_shots.rows["zero-shot"].cells.values()}
    assert len(flat) == 1
    table = protocols.densities(study, "squares", SAFT, [ZERO_SHOT, FULL])
    counts = [table.rows[protocols.at_density(SAFT, density)].trainable for density in protocols.DENSITIES]
    assert counts == sorted(set(counts))
    assert table.rows["full fine-tuning"].trainable == study.base.parameter_count


def test_image_encoders_are_one_row_a_base_and_method(study: Study, tmp_path: Path) -> None:
    other = Study(make_base("resnet"), find, Journal(tmp_path / "results.jsonl"), FEW, lambda _: None)
    table = protocols.image_encoders({"vit": lambda: study, "resnet": lambda: other}, "squares", [ZERO_SHOT])
    assert list(table.rows) == ["vit: zero-shot", "resnet: zero-shot"]
