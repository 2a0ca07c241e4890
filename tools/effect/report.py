"""Shares with their intervals, paired differences, and the tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NEW_CLASSES = "new classes"
RESAMPLES = 2000
Runs = Sequence[Sequence[float]]
"""For each seed, 1 for every picture that was classified right and 0 for every other; empty without an answer."""


@dataclass(frozen=True)
class Estimate:
    """A share, or a difference of shares, in percent with its 95% interval; NaN where a method has no answer."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return "–" if math.isnan(self.mean) else f"{self.mean:.1f} ({self.low:.1f} to {self.high:.1f})"


def estimate(tests: Sequence[Runs]) -> Estimate:
    """The mean over tests and seeds of the share that is right.

    The interval is a bootstrap over seeds and, within them, over pictures.
    """
    return _bootstrap([[np.asarray(run, float) for run in runs] for runs in tests])


def difference(tests: Sequence[Runs], others: Sequence[Runs]) -> Estimate:
    """How much more is right than by another method: paired, for the seeds and the pictures are the same."""
    return _bootstrap(
        [
            [np.asarray(run, float) - np.asarray(other, float) for run, other in zip(runs, of_other, strict=True)]
            if all(runs) and all(of_other)
            else [np.empty(0)]
            for runs, of_other in zip(tests, others, strict=True)
        ]
    )


def _bootstrap(tests: Sequence[Sequence[npt.NDArray[np.float64]]]) -> Estimate:
    if not tests or any(not len(run) for runs in tests for run in runs):
        return Estimate(math.nan, math.nan, math.nan)
    generator = np.random.default_rng(0)
    seeds = len(tests[0])
    means = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(seeds, size=seeds)
        means.append(np.mean([_resampled(runs[seed], generator).mean() for runs in tests for seed in drawn]))
    low, high = np.percentile(means, [2.5, 97.5])
    mean = np.mean([run.mean() for runs in tests for run in runs])
    return Estimate(100 * float(mean), 100 * float(low), 100 * float(high))


def _resampled(run: npt.NDArray[np.float64], generator: np.random.Generator) -> npt.NDArray[np.float64]:
    return run[generator.integers(len(run), size=len(run))]


def table(style: str, tests: Sequence[str], rows: Mapping[str, Mapping[str, Runs]], settings: Mapping[str, str]) -> str:
    """Markdown: a row a method. tests: the trained style first; rows: method, test, seeds."""
    columns = {**{name: [name] for name in tests}, **_means(tests)}
    lines = [f"| method | learning rate | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for method, runs in rows.items():
        cells = [str(estimate([runs[name] for name in names])) for names in columns.values()]
        lines.append(f"| {method} | {settings.get(method, '')} | {' | '.join(cells)} |")
    return f"**Trained on {style}**\n\n" + "\n".join(lines)


def _means(tests: Sequence[str]) -> dict[str, Sequence[str]]:
    """The column that is a mean over others: the styles that were not trained on."""
    return {"mean of the unseen": [name for name in tests[1:] if name != NEW_CLASSES]}


def differences(tests: Sequence[str], rows: Mapping[str, Mapping[str, Runs]], pairs: Sequence[tuple[str, str]]) -> str:
    """Markdown: for each pair of methods, how much more the first gets right."""
    columns = {tests[0]: tests[:1], **_means(tests)} | {name: [name] for name in tests if name == NEW_CLASSES}
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for first, second in pairs:
        cells = [
            str(difference([rows[first][name] for name in names], [rows[second][name] for name in names]))
            for names in columns.values()
        ]
        lines.append(f"| {first} less {second} | {' | '.join(cells)} |")
    return "\n".join(lines)
