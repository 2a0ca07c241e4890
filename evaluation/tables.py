"""What a protocol found, before it is printed: cells of outcomes by method and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Right = npt.NDArray[np.bool_]
"""Of each image of a test set, (N,), whether it was classified right."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One figure of a table: a mean of test sets, each measured under every seed.

    tests: for each test set, for each seed (in the same order everywhere), which images were right. Two cells of one
    column hold the same images in the same order, so differences are paired.
    mean: how the test sets' accuracies become one figure; the harmonic mean is base-to-new's H, of test sets that take
    turns: base classes, new classes, the same of the next data set (H is then of the two averages).
    missing: why there is no figure; `tests` is empty then.
    """

    tests: Sequence[Sequence[Right]] = ()
    mean: Literal["arithmetic", "harmonic"] = "arithmetic"
    missing: str | None = None


@dataclass(frozen=True, eq=False)
class Row:
    """One method in a table. learning_rate, epochs: as used. seconds, peak_bytes: of one fit, the mean over seeds."""

    cells: Mapping[str, Cell]
    trainable: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    learning_rate: float | None = None
    epochs: int | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """One table in the form of one of the paper's.

    number: the paper's, as text ("1"). conditions: what the paper leaves open and this run chose, and all else that
    a reader has to know, a sentence each; printed above the table. rows: by method.
    notes: reasons and remarks below it.
    """

    number: str
    title: str
    columns: Sequence[str]
    rows: Mapping[str, Row]
    conditions: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=tuple)
