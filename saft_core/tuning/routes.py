"""How a layer gives its selected weight entries their gradient: the routes, and the cost model that chooses.

A weight W (out, in) used as `y = x W^T` on n rows has the gradient `dW = go^T x`, of which only the selected entries
are wanted. Four routes give exactly these (a layer without a selected entry takes none of them):

    multiplied the columns of go and of x that each entry needs, side by side, multiplied and summed
    sampled    one dot product of length n for each entry (Nisa et al. 2018 call it SDDMM)
    gathered   the small matrix product over the touched rows and columns, then the entries of it
    dense      the whole product, then the entries of it

On a GPU only the last two are taken: the others are many short operations, each of which costs a launch of 20 us.

The model counts floating-point operations and moved numbers. Its constants are nanoseconds measured on two cores of a
Xeon with AVX-512 in float32; what matters is how they relate, which is much the same elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache

import torch
from torch import Tensor

PRODUCT_NS = 0.0043
"""One floating-point operation of a dense matrix product."""
MULTIPLY_NS = 1.5
"""Picking one number out of each operand, as they lie, and multiplying them."""
DOT_NS = 0.06
"""One floating-point operation of separate dot products, which read their numbers from the cache anew."""
TRANSPOSE_NS = 3.5
"""Picking one number out of a row-major matrix into a transposed one."""
GATHER_NS = 1.0
"""Picking one number out of a row-major matrix into another."""


class Route(Enum):
    """The ways to the gradient of selected entries; see the module."""

    MULTIPLIED = "multiplied"
    SAMPLED = "sampled"
    DENSE = "dense"
    GATHERED = "gathered"


ONE_PRODUCT = (Route.DENSE, Route.GATHERED)


@dataclass(frozen=True)
class Extent:
    """Sizes of a selection within a matrix: its shape, the rows and columns it touches, and its entries."""

    out_features: int
    in_features: int
    rows: int
    columns: int
    entries: int


def costs(n: int, extent: Extent) -> dict[Route, float]:
    """Nanoseconds that each route takes by the model for a product over n rows."""
    sides = ((extent.rows, extent.out_features), (extent.columns, extent.in_features))
    partial = sum(touched for touched, all_of_them in sides if touched < all_of_them)
    return {
        Route.MULTIPLIED: n * extent.entries * MULTIPLY_NS,
        Route.SAMPLED: n * ((extent.rows + extent.columns) * TRANSPOSE_NS + 2 * extent.entries * DOT_NS),
        Route.GATHERED: n * (partial * GATHER_NS + 2 * extent.rows * extent.columns * PRODUCT_NS),
        Route.DENSE: n * (2 * extent.out_features * extent.in_features * PRODUCT_NS),
    }


@lru_cache(maxsize=4096)
def cheapest(n: int, extent: Extent, device: str = "cpu") -> Route:
    """The route of least cost on this type of device; of equal ones the first in the order of `Route`."""
    by_route = costs(n, extent)
    return min(Route if device == "cpu" else ONE_PRODUCT, key=lambda route: by_route[route])


class Entries:
    """The selected entries of one parameter.

    positions: int64 (k,), ascending row-major positions within the parameter. shape: the parameter's own.
    """

    def __init__(self, positions: Tensor, shape: tuple[int, ...]) -> None:
        self.positions = positions
        self.shape = shape

    def __len__(self) -> int:
        return len(self.positions)

    def of(self, gradient: Tensor) -> Tensor:
        """The entries (k,) of a dense `gradient` of the parameter's shape."""
        return gradient.reshape(-1).index_select(0, self.positions)

    @cached_property
    def matrix(self) -> MatrixEntries:
        """The same entries, with the parameter seen as a matrix (first dimension, all others)."""
        out_features = self.shape[0]
        in_features = max(1, _product(self.shape[1:]))
        rows, at_row = (self.positions // in_features).unique(return_inverse=True)
        columns, at_column = (self.positions % in_features).unique(return_inverse=True)
        extent = Extent(out_features, in_features, len(rows), len(columns), len(self.positions))
        return MatrixEntries(rows, columns, at_row, at_column, extent)


@dataclass(frozen=True, eq=False)
class MatrixEntries:
    """Selected entries of a matrix: entry i lies in row `rows[at_row[i]]` and column `columns[at_column[i]]`.

    rows: int64 (R,) and columns: int64 (C,), ascending, the touched ones. at_row, at_column: int64 (k,).
    """

    rows: Tensor
    columns: Tensor
    at_row: Tensor
    at_column: Tensor
    extent: Extent

    @cached_property
    def row_starts(self) -> Tensor:
        """Where each touched row's entries begin, int64 (R + 1,): the compressed-row form."""
        counts = torch.bincount(self.at_row, minlength=len(self.rows))
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _product(numbers: tuple[int, ...]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result
