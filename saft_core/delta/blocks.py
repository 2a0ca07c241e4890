"""Entries in blocks of fixed length: within a block all gaps share one Rice parameter, all values one exponent."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

BLOCK_ENTRIES = 128

Number = TypeVar("Number", bound=np.generic)


def block_count(entries: int) -> int:
    """Blocks that hold so many entries; the last one may be shorter."""
    return -(-entries // BLOCK_ENTRIES)


def spread(per_block: npt.NDArray[Number], entries: int) -> npt.NDArray[Number]:
    """The number of each block, once for each of its entries: (blocks,) to (entries,)."""
    return np.repeat(per_block, BLOCK_ENTRIES)[:entries]


def rows(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values (K,) as one row a block, the last row filled up with zeros: (blocks, BLOCK_ENTRIES)."""
    filled = np.zeros(block_count(len(values)) * BLOCK_ENTRIES, dtype=values.dtype)
    filled[: len(values)] = values
    return filled.reshape(-1, BLOCK_ENTRIES)
