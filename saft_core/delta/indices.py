"""Sorted indices as the gaps between neighbours, in planes of bytes.

Selections cluster, so most gaps are small: their high planes hold almost only zeros, which compress to almost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from saft_core.delta.compression import Plane, byte_planes
from saft_core.errors import InvalidDelta

MAX_PLANES = 8
"""Bytes of the largest gap."""


def write_indices(indices: npt.NDArray[np.int64]) -> list[Plane]:
    """The planes uint8 (K,) of the gaps of strictly increasing `indices` (K,), the lowest first, as many as it takes.

    A gap is the count of entries left out between an index and the one before; before the first stands -1.
    """
    gaps = np.diff(indices, prepend=-1) - 1
    return byte_planes(gaps)[: (int(gaps.max(initial=0)).bit_length() + 7) // 8]


def read_indices(planes: Iterable[Plane], count: int) -> npt.NDArray[np.int64]:
    """The inverse of `write_indices`, int64 (count,), of MAX_PLANES planes at most.

    Indices that leave the int64 range come out unsorted. Raises InvalidDelta for more planes than the gaps need.
    """
    numbers = np.zeros((count, MAX_PLANES), dtype=np.uint8)
    plane: Plane | None = None
    for place, plane in enumerate(planes):
        numbers[:, place] = plane
    if plane is not None and not plane.any():
        raise InvalidDelta("the last plane of the indices is all zeros: it must be left out")
    indices = numbers.view("<i8").reshape(count).astype(np.int64, copy=False)
    indices += 1
    np.cumsum(indices, out=indices)
    indices -= 1
    return indices
