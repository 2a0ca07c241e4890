"""Figures of tables with their 95% intervals, and paired differences of them, by a bootstrap over seeds and images.

Every seed is tested on the same images, so an image that is drawn twice counts twice under every seed: seeds and images
are resampled apart from each other (A. B. Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1 (2), 2007).
To draw images anew within each seed would take one test set for several: three seeds of the zero-shot base, which are
all the same, would narrow its interval by the square root of three.

Images that are right under the same seeds are alike, so that what is drawn is how many there are of each kind: 2^seeds
of them at most, whatever the number of images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.tables import Cell, Right

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
LEVELS = (2.5, 97.5)
MOST_SEEDS = 31
"""Two cells with as many seeds each still fit into the bits of one integer an image."""


@dataclass(frozen=True)
class Estimate:
    """An accuracy, or a difference of two, in percent, and its 95% interval; all NaN where there is no figure.

    The interval says how far the figure may be off for these seeds and images; few seeds say little about all seeds.
    """

    mean: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is a figure."""
        return not math.isnan(self.mean)

    def __str__(self) -> str:
        return f"{self.mean:.1f} ({self.low:.1f} to {self.high:.1f})" if self.known else "–"

    def signed(self) -> str:
        """As a difference is written: +1.2 (-0.3 to +2.7)."""
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f})" if self.known else "–"


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def estimate(cell: Cell) -> Estimate:
    """The figure of `cell`. Raises ValueError when its tests have not all the same seeds."""
    if not cell.tests:
        return UNKNOWN
    observed, resampled = _figures([cell])
    return _interval(observed[0], resampled[:, 0])


def difference(cell: Cell, other: Cell) -> Estimate:
    """How many points `cell` is above `other`: paired, since the same images and seeds are drawn for both.

    A cell of one seed is compared with every seed of the other. Raises ValueError when the images are not the same.
    """
    if not cell.tests or not other.tests:
        return UNKNOWN
    observed, resampled = _figures([cell, other])
    return _interval(observed[0] - observed[1], resampled[:, 0] - resampled[:, 1])


def _interval(observed: float, resampled: Floats) -> Estimate:
    low, high = np.percentile(resampled, LEVELS)
    return Estimate(100 * float(observed), 100 * float(low), 100 * float(high))


def _figures(cells: Sequence[Cell]) -> tuple[Floats, Floats]:
    """Each cell's figure as a share, (C,), and what it is in every resample, (RESAMPLES, C)."""
    if len({len(cell.tests) for cell in cells}) > 1:
        raise ValueError("the two figures are not of the same images, so that they cannot be paired")
    generator = np.random.default_rng(0)
    seeds = _seeds(cells)
    drawn = generator.multinomial(seeds, [1 / seeds] * seeds, size=RESAMPLES) / seeds
    tests = [_under_seeds(runs, seeds) for runs in zip(*(cell.tests for cell in cells), strict=True)]
    observed = np.stack([[[run.mean() for run in of_cell] for of_cell in test] for test in tests]).mean(axis=2)
    resampled = np.stack([np.einsum("rcs,rs->rc", _resampled(test, generator), drawn) for test in tests])
    kinds = [cell.mean for cell in cells]
    return (
        np.array([_mean(kind, observed[:, number]) for number, kind in enumerate(kinds)]),
        np.stack([_mean(kind, resampled[:, :, number]) for number, kind in enumerate(kinds)], axis=1),
    )


def _seeds(cells: Sequence[Cell]) -> int:
    """How many there are: the same number in every test, or one."""
    seeds = max(len(runs) for cell in cells for runs in cell.tests)
    if any(len({len(runs) for runs in cell.tests} | {1, seeds}) > 2 for cell in cells):
        raise ValueError("the test sets of a figure have results of different numbers of seeds")
    if seeds > MOST_SEEDS:
        raise ValueError(f"intervals are made of at most {MOST_SEEDS} seeds, not of {seeds}")
    return seeds


def _under_seeds(of_cells: Sequence[Sequence[Right]], seeds: int) -> list[list[Right]]:
    """Of one test set: for each cell, for each seed; the only run of a cell stands for every seed."""
    found = [list(runs) * (seeds if len(runs) == 1 else 1) for runs in of_cells]
    for runs in zip(*found, strict=True):
        if len({len(run) for run in runs}) > 1:
            raise ValueError("the two figures are not of the same images, so that they cannot be paired")
    if not all(len(run) for runs in found for run in runs):
        raise ValueError("a test set without images has no accuracy")
    return found


def _resampled(test: Sequence[Sequence[Right]], generator: np.random.Generator) -> Floats:
    """Accuracies on images drawn with repetition, (RESAMPLES, C, S), of C cells under S seeds."""
    cells, seeds = len(test), len(test[0])
    if len({len(run) for run in test[0]}) == 1:
        right = np.stack([run for runs in test for run in runs], axis=1)
        return _drawn(right, generator).reshape(RESAMPLES, cells, seeds)
    # Seeds that left other images to test on: they share none.
    return np.stack([_drawn(np.stack(runs, axis=1), generator) for runs in zip(*test, strict=True)], axis=2)


def _drawn(right: npt.NDArray[np.bool_], generator: np.random.Generator) -> Floats:
    """Shares of True in each column of rows drawn with repetition: (N, K) to (RESAMPLES, K)."""
    images, columns = right.shape
    bits = np.arange(columns)
    kinds, counts = np.unique(right @ (1 << bits), return_counts=True)
    draws = generator.multinomial(images, counts / images, size=RESAMPLES)
    return np.asarray(draws @ (kinds[:, None] >> bits & 1) / images, dtype=np.float64)


def _mean(kind: str, accuracies: Floats) -> Floats:
    """Over the first axis, the test sets; `Cell.mean` says how."""
    if kind == "arithmetic":
        return np.asarray(accuracies.mean(axis=0))
    if len(accuracies) % 2:
        raise ValueError("the harmonic mean is one of base and new classes: as many test sets of these as of those")
    base, new = accuracies[0::2].mean(axis=0), accuracies[1::2].mean(axis=0)
    total = base + new
    return np.asarray(2 * base * new / np.where(total > 0, total, 1))
