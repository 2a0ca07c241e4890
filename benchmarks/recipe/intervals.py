"""Paired differences with their intervals, by a bootstrap over tasks and seeds and, within them, over pictures.

`evaluation.report.estimates` takes rights and wrongs on test sets that are the same for every seed. Here tasks and
seeds are resampled together, pictures may have weights, and some figures are of no picture, such as AUROC. Pictures of
an unseen style, which all seeds of a task share, are drawn anew for each: what the choice of them adds is understated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.report.estimates import LEVELS, RESAMPLES, Estimate
from saft_core.calibration import FloatArray

Runs = Sequence[Sequence[float]]
"""For each task and seed the value of every picture, whose mean is a share; or a single figure."""


def difference(runs: Runs, others: Runs) -> Estimate:
    """By how many points the mean of the runs' means is above that of `others`, of the same pictures, run by run."""
    pairs = [np.asarray(run) - np.asarray(other) for run, other in zip(runs, others, strict=True)]
    generator = np.random.default_rng(0)
    means = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(len(pairs), size=len(pairs))
        means.append(np.mean([_resampled(pairs[place], generator).mean() for place in drawn]))
    low, high = np.percentile(means, LEVELS)
    mean = np.mean([pair.mean() for pair in pairs])
    return Estimate(100 * float(mean), 100 * float(low), 100 * float(high))


def _resampled(run: FloatArray, generator: np.random.Generator) -> FloatArray:
    return run[generator.integers(len(run), size=len(run))]
