"""The delta of one parameter as the CPU's loops read it: slices of the adapters, where these lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

Integers = npt.NDArray[Any]


class Slices(NamedTuple):
    """Entries of one parameter where the adapters have them in memory: nothing is copied together. For the CPU's loops.

    Those of row b are entries `bounds[first, b]` to `bounds[end, b]` of its adapter. Whoever makes slices keeps the
    adapters alive as long as these are used.

    positions, values: (B,), the addresses of each row's positions, ascending in the base's flat buffer, and of its
                       values, float32.
    dtype:             an array of the positions' dtype, int32 or int64.
    strengths:         float32 (B,), what the values are multiplied by.
    bounds:            int64 (slots + 1, B).
    offset:            where the parameter begins in the base's flat buffer.
    mean:              entries a row.
    """

    positions: Integers
    values: Integers
    dtype: Integers
    strengths: npt.NDArray[np.float32]
    bounds: Integers
    first: int
    end: int
    offset: int
    mean: float

    def none(self) -> Slices:
        """No entries, of as many rows."""
        return self._replace(end=self.first)


def slices_of(rows: Sequence[tuple[Tensor, Tensor, float] | None], bounds: Integers) -> Slices:
    """Of each row positions, values and strength, or None: the entries from `bounds[0]` to `bounds[1]`."""
    addresses = [(0, 0, 1.0) if row is None else (row[0].data_ptr(), row[1].data_ptr(), row[2]) for row in rows]
    positions, values, strengths = map(np.array, zip(*addresses, strict=True))
    dtype = next((row[0].numpy()[:0] for row in rows if row is not None), np.empty(0, np.int32))
    mean = float((bounds[1] - bounds[0]).mean())
    return Slices(positions, values, dtype, strengths.astype(np.float32), bounds, 0, 1, 0, mean)
