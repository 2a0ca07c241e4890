"""Shares with their intervals, and the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TESTS = ("same_style", "unseen_styles", "new_classes")
HEADINGS = ("trained style", "unseen styles", "new classes")
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A share in percent with its 95% interval; NaN where a method has no answer."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return "–" if math.isnan(self.mean) else f"{self.mean:.1f} ({self.low:.1f}–{self.high:.1f})"


def estimate(runs: Sequence[Sequence[int]]) -> Estimate:
    """Mean over seeds of the share that is right, in percent. runs: for each seed, 1 or 0 a picture.

    The interval is a bootstrap over seeds and, within them, over pictures.
    """
    if not all(runs):
        return Estimate(math.nan, math.nan, math.nan)
    generator = np.random.default_rng(0)
    arrays = [np.asarray(run, dtype=float) for run in runs]
    means = []
    for _ in range(RESAMPLES):
        drawn = [arrays[i] for i in generator.integers(len(arrays), size=len(arrays))]
        means.append(np.mean([values[generator.integers(len(values), size=len(values))].mean() for values in drawn]))
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(100 * float(np.mean([a.mean() for a in arrays])), 100 * float(low), 100 * float(high))


def harmonic(first: float, second: float) -> float:
    """Harmonic mean of two shares in percent: high only where both are."""
    return 2 * first * second / (first + second) if first + second else 0.0


def table(task: str, rows: Mapping[str, Mapping[str, Sequence[Sequence[int]]]], settings: Mapping[str, str]) -> str:
    """Markdown: a row a method. rows: method to test to seeds to right or wrong."""
    lines = [
        f"**{task}**",
        "",
        f"| method | setting | {' | '.join(HEADINGS)} | harmonic mean of first and last |",
        f"|---|---|{'---|' * (len(HEADINGS) + 1)}",
    ]
    for method, tests in rows.items():
        estimates = [estimate(tests[test]) for test in TESTS]
        both = harmonic(estimates[0].mean, estimates[2].mean)
        cells = [method, settings.get(method, ""), *map(str, estimates), "–" if math.isnan(both) else f"{both:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
