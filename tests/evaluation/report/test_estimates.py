import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest

from evaluation.report.estimates import MOST_SEEDS, Estimate, difference, estimate
from evaluation.tables import Cell, Right

RESAMPLES = 3000


def _right(share: float, images: int, seed: int) -> Right:
    return np.random.default_rng(seed).random(images) < share


def _cell(share: float, *, images: int = 60, seeds: int = 3, tests: int = 1) -> Cell:
    """Most images are easy or hard for every seed, as in life; a third falls out anew with each."""
    return Cell([[_runs(share, images, test, seed) for seed in range(seeds)] for test in range(tests)])


def _runs(share: float, images: int, test: int, seed: int) -> Right:
    always, anew = _right(share, images, 100 + test), _right(share, images, 10 * test + seed)
    return np.where(_right(1 / 3, images, 200 + test), anew, always)


def _plain(cells: Sequence[Cell]) -> tuple[list[float], list[float]]:
    """Each resample's figures: seeds drawn, images drawn, one by one; of one cell, or of one less the other."""
    chance = np.random.default_rng(7)
    found = []
    for _ in range(RESAMPLES):
        seeds = chance.integers(len(cells[0].tests[0]), size=len(cells[0].tests[0])).tolist()
        images = [chance.integers(len(runs[0]), size=len(runs[0])).tolist() for runs in cells[0].tests]
        found.append([_figure(cell, seeds, images) for cell in cells])
    whole = [range(len(runs[0])) for runs in cells[0].tests]
    return [_less(figures) for figures in found], [
        _less([_figure(cell, range(len(cell.tests[0])), whole) for cell in cells])
    ]


def _figure(cell: Cell, seeds: Sequence[int], images: Sequence[Sequence[int]]) -> float:
    accuracies = [
        statistics.fmean(float(statistics.fmean(bool(runs[seed][image]) for image in drawn)) for seed in seeds)
        for runs, drawn in zip(cell.tests, images, strict=True)
    ]
    if cell.mean == "harmonic":
        return statistics.harmonic_mean([statistics.fmean(accuracies[0::2]), statistics.fmean(accuracies[1::2])])
    return statistics.fmean(accuracies)


def _less(figures: Sequence[float]) -> float:
    return figures[0] - figures[1] if len(figures) > 1 else figures[0]


def _agrees(found: Estimate, cells: Sequence[Cell]) -> None:
    resampled, (observed,) = _plain(cells)
    low, high = np.percentile(resampled, [2.5, 97.5])
    assert found.mean == pytest.approx(100 * observed)
    width = high - low
    assert found.low == pytest.approx(100 * low, abs=8 * width)
    assert found.high == pytest.approx(100 * high, abs=8 * width)


@pytest.mark.parametrize(
    "cell",
    [
        _cell(0.7, images=40),
        _cell(0.2, images=25, tests=2),
        Cell(_cell(0.8, images=20, tests=2).tests, "harmonic"),
        Cell([*_cell(0.9, images=20).tests, *_cell(0.4, images=30).tests] * 2, "harmonic"),
    ],
    ids=["one test", "two tests", "harmonic", "harmonic of averages"],
)
def test_an_estimate_is_what_a_plain_bootstrap_gives(cell: Cell) -> None:
    _agrees(estimate(cell), [cell])


@pytest.mark.parametrize("mean", ["arithmetic", "harmonic"])
def test_a_difference_is_what_a_plain_paired_bootstrap_gives(mean: str) -> None:
    harder = _cell(0.5, images=30, tests=2)
    easier = Cell([[run | _right(0.3, 30, 99) for run in runs] for runs in harder.tests])
    first, second = (Cell(cell.tests, "harmonic" if mean == "harmonic" else "arithmetic") for cell in (easier, harder))

    _agrees(difference(first, second), [first, second])


def test_all_right_is_one_hundred_and_all_wrong_is_nothing_without_doubt() -> None:
    assert estimate(Cell([[np.ones(9, bool)] * 3])) == Estimate(100, 100, 100)
    assert estimate(Cell([[np.zeros(9, bool)] * 3])) == Estimate(0, 0, 0)
    assert estimate(Cell([[np.zeros(9, bool)] * 3] * 2, "harmonic")) == Estimate(0, 0, 0)


def test_what_is_paired_with_itself_differs_by_nothing() -> None:
    assert difference(_cell(0.6), _cell(0.6)) == Estimate(0, 0, 0)


def test_a_pair_is_surer_than_its_two_sides() -> None:
    base = _cell(0.5, images=400)
    better = Cell([[run | _right(0.05, 400, 77) for run in runs] for runs in base.tests])

    paired = difference(better, base)

    assert paired.low > 0
    assert estimate(better).low < estimate(base).high


def test_the_same_run_under_several_seeds_says_no_more_than_once() -> None:
    run = _right(0.6, 100, 0)
    once, thrice = estimate(Cell([[run]])), estimate(Cell([[run] * 3]))

    assert thrice.mean == once.mean
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.1)


def test_seeds_that_disagree_widen_the_interval() -> None:
    alike = Cell([[_right(0.6, 500, 0)] * 3])
    apart = Cell([[_right(share, 500, 0) for share in (0.4, 0.6, 0.8)]])

    assert estimate(apart).high - estimate(apart).low > 2 * (estimate(alike).high - estimate(alike).low)


def test_seeds_with_different_test_images_are_drawn_apart() -> None:
    cell = Cell([[np.ones(10, bool), np.zeros(20, bool)]])

    assert estimate(cell) == Estimate(50, 0, 100)


def test_a_cell_of_one_run_is_compared_with_every_seed() -> None:
    once, thrice = Cell([[_right(0.5, 50, 0)]]), Cell([[_right(0.5, 50, 0)] * 3])
    other = _cell(0.7, images=50)

    assert difference(other, once) == difference(other, thrice)


def test_a_missing_figure_is_unknown_and_so_is_every_difference_to_it() -> None:
    missing = Cell(missing="no data")

    assert not estimate(missing).known
    assert math.isnan(difference(_cell(0.5), missing).mean)
    assert (str(estimate(missing)), difference(missing, _cell(0.5)).signed()) == ("–", "–")


def test_an_estimate_is_written_with_its_interval_and_a_difference_with_its_sign() -> None:
    assert str(Estimate(77.25, 75, 80)) == "77.2 (75.0 to 80.0)"
    assert Estimate(1.25, -0.5, 3).signed() == "+1.2 (-0.5 to +3.0)"


@pytest.mark.parametrize(
    ("cell", "other", "words"),
    [
        (_cell(0.5, images=5), _cell(0.5, images=6), "same images"),
        (_cell(0.5), _cell(0.5, tests=2), "same images"),
        (Cell([[_right(0.5, 5, 0)] * 2, [_right(0.5, 5, 0)] * 3]), _cell(0.5, images=5, tests=2), "numbers of seeds"),
        (Cell(_cell(0.5, tests=3).tests, "harmonic"), _cell(0.5, tests=3), "base and new"),
        (Cell([[np.zeros(0, bool)]]), Cell([[np.zeros(0, bool)]]), "without images"),
        (_cell(0.5, seeds=MOST_SEEDS + 1), _cell(0.5, seeds=MOST_SEEDS + 1), f"at most {MOST_SEEDS}"),
    ],
)
def test_what_makes_no_figure_is_refused(cell: Cell, other: Cell, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        difference(cell, other)
