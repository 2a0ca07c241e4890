"""Compiled loops of backward passes, as those of mixed batches in loops.py."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from saft_core.sparse.loops import compiled
from saft_core.sparse.slices import Integers

Numbers = npt.NDArray[np.floating[Any]]
ROWS_PER_SUM = 256
"""Rows that are summed up by themselves, for accuracy."""
MANY_ENTRIES = 64
"""From so many on four rows at a time take less time than one."""


@compiled(parallel=True)
def multiplied(sums: Numbers, gradient: Numbers, x: Numbers, outputs: Integers, inputs: Integers) -> None:
    """Add the entries of `gradient^T x` at (outputs, inputs), uint32 (k,) both, to `sums` (chunks, k).

    gradient, x: (n, out) and (n, in), float32 or float64 as `sums` is.
    """
    chunks, rows, entries = len(sums), len(gradient), len(outputs)
    parts = (rows + ROWS_PER_SUM - 1) // ROWS_PER_SUM
    for chunk in numba.prange(chunks):
        for part in range(chunk * parts // chunks, (chunk + 1) * parts // chunks):
            row, end = part * ROWS_PER_SUM, min(rows, (part + 1) * ROWS_PER_SUM)
            total = np.zeros_like(sums[chunk])
            while entries >= MANY_ENTRIES and row + 4 <= end:
                left0, left1, left2, left3 = gradient[row], gradient[row + 1], gradient[row + 2], gradient[row + 3]
                right0, right1, right2, right3 = x[row], x[row + 1], x[row + 2], x[row + 3]
                for entry in range(entries):
                    i, j = outputs[entry], inputs[entry]
                    upper = left0[i] * right0[j] + left1[i] * right1[j]
                    total[entry] += upper + left2[i] * right2[j] + left3[i] * right3[j]
                row += 4
            while row < end:
                left, right = gradient[row], x[row]
                for entry in range(entries):
                    total[entry] += left[outputs[entry]] * right[inputs[entry]]
                row += 1
            for entry in range(entries):
                sums[chunk, entry] += total[entry]
