"""The numbers of an adapter: where it differs from the base, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from saft_core.errors import InvalidDelta


@dataclass(frozen=True, eq=False)
class SparseDelta:
    """Differences from the base at some entries of its flat parameter buffer.

    indices: int64 (K,), strictly increasing flat indices.
    values:  float32 (K,), finite; what is added to the base's entries.

    Raises InvalidDelta when the arrays break these rules.
    """

    indices: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.indices.dtype != np.int64 or self.values.dtype != np.float32:
            raise InvalidDelta("indices must be int64 and values float32")
        if self.indices.ndim != 1 or self.indices.shape != self.values.shape:
            raise InvalidDelta("indices and values must be one-dimensional and of one length")
        if len(self.indices) and (self.indices[0] < 0 or np.any(self.indices[1:] <= self.indices[:-1])):
            raise InvalidDelta("indices must be non-negative and strictly increasing")
        if not np.isfinite(self.values).all():
            raise InvalidDelta("values must be finite")

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def nbytes(self) -> int:
        """Memory of both arrays in bytes."""
        return self.indices.nbytes + self.values.nbytes
