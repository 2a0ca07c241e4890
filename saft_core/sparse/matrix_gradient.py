"""Selected entries of the gradient of a matrix: four routes to the same numbers, and the cost model that chooses.

A weight W (out, in) used as `y = x W^T` on n rows has the gradient `dW = gradient^T x`, of which only the selected
entries are wanted. Four routes give exactly these (a layer without a selected entry takes none of them):

    multiplied the columns of the gradient and of x that each entry needs, side by side, multiplied and summed
    sampled    one dot product of length n for each entry (Nisa et al. 2018 call it SDDMM)
    gathered   the small matrix product over the touched rows and columns, then the entries of it
    dense      the whole product, then the entries of it

On a GPU only the last two are taken: the others are many short operations, each of which costs a launch of 20 us.

The model counts floating-point operations and moved numbers. Its constants are nanoseconds measured on two cores of a
Xeon with AVX-512 in float32; what matters is how they relate, which is much the same elsewhere.
"""

from __future__ import annotations

import warnings
from enum import Enum
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from saft_core.sparse import gradient_loops, kernels
from saft_core.sparse.param_delta import loop_chunks
from saft_core.sparse.selected import Extent, MatrixEntries

PRODUCT_NS = 0.0043
"""One floating-point operation of a dense matrix product."""
MULTIPLY_NS = 0.5
"""Picking one number out of each operand, as they lie, and multiplying them: on an EPYC what a dense product's take."""
DOT_NS = 0.06
"""One floating-point operation of separate dot products, which read their numbers from the cache anew."""
TRANSPOSE_NS = 3.5
"""Picking one number out of a row-major matrix into a transposed one."""
GATHER_NS = 1.0
"""Picking one number out of a row-major matrix into another."""

DOT_BYTES_PER_CHUNK = 64 << 20
"""Memory for the gathered operands of dot products where no fused kernel exists."""
MULTIPLIED_NUMBERS_PER_CHUNK = 1 << 18
"""Numbers picked out of each operand at once: so many stay in a core's cache."""


class Route(Enum):
    """The ways to the gradient of selected entries; see the module."""

    MULTIPLIED = "multiplied"
    SAMPLED = "sampled"
    DENSE = "dense"
    GATHERED = "gathered"


ONE_PRODUCT = (Route.DENSE, Route.GATHERED)


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
def cheapest_route(n: int, extent: Extent, device: str = "cpu") -> Route:
    """The route of least cost on this type of device; of equal ones the first in the order of `Route`."""
    by_route = costs(n, extent)
    return min(Route if device == "cpu" else ONE_PRODUCT, key=lambda route: by_route[route])


def matrix_gradient(gradient: Tensor, x: Tensor, entries: MatrixEntries, route: Route) -> Tensor:
    """The entries (k,) of `gradient^T x`, by `route`; the same numbers by each, up to rounding.

    gradient: (n, out). x: (n, in), or (n, C) with the touched columns alone.
    """
    if route is Route.MULTIPLIED:
        return _multiplied(gradient, x, entries)
    if route is Route.SAMPLED:
        left = gradient if len(entries.rows) == gradient.shape[1] else gradient.index_select(1, entries.rows)
        return _dots(left.t().contiguous(), _touched(x, entries).t().contiguous(), entries)
    if route is Route.GATHERED:
        some = gradient
        if entries.extent.rows < entries.extent.out_features:
            some = gradient.index_select(1, entries.rows)
        return kernels.transposed_product(some, _touched(x, entries))[entries.at_row, entries.at_column]
    return kernels.transposed_product(gradient, x)[entries.rows[entries.at_row], entries.columns[entries.at_column]]


def kept_for_backward(x: Tensor, entries: MatrixEntries, route: Route) -> Tensor:
    """What `matrix_gradient` needs of x: the touched columns where these are at most half of all, else all of it."""
    few = 2 * entries.extent.columns <= entries.extent.in_features
    return x.index_select(1, entries.columns) if few and route is not Route.DENSE else x


def _touched(x: Tensor, entries: MatrixEntries) -> Tensor:
    return x if x.shape[1] == len(entries.columns) else x.index_select(1, entries.columns)


def _multiplied(gradient: Tensor, x: Tensor, entries: MatrixEntries) -> Tensor:
    """The entries (k,) from gradient (n, out) and x (n, in) or (n, C), some of the n at a time."""
    outputs, inputs = entries.rows[entries.at_row], entries.at_column
    if x.shape[1] != len(entries.columns):
        inputs = entries.columns[inputs]
    if gradient.device.type == "cpu" and gradient.dtype == x.dtype and x.dtype in (torch.float32, torch.float64):
        sums, of_entries = gradient.new_zeros(loop_chunks(), len(outputs)), (outputs, inputs)
        operands = (each.detach().contiguous().numpy() for each in (gradient, x))
        gradient_loops.multiplied(sums.numpy(), *operands, *(each.numpy().astype(np.uint32) for each in of_entries))
        return sums.sum(0)
    total = gradient.new_zeros(len(outputs), dtype=torch.promote_types(gradient.dtype, torch.float32))
    size = max(1, MULTIPLIED_NUMBERS_PER_CHUNK // len(outputs))
    for left, right in zip(gradient.split(size), x.split(size), strict=True):
        products = left.gather(1, outputs.expand(len(left), -1)).to(total.dtype)
        total += products.mul_(right.gather(1, inputs.expand(len(right), -1))).sum(0)
    return total


def _dots(left: Tensor, right: Tensor, entries: MatrixEntries) -> Tensor:
    """`left[at_row] . right[at_column]` for left (R, n) and right (C, n), float32 or float64 (k,)."""
    if left.device.type == "cpu" and left.dtype in (torch.float32, torch.float64):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # sparse CSR calls itself a beta feature
            pattern = torch.sparse_csr_tensor(
                entries.row_starts, entries.at_column, left.new_zeros(len(entries.at_row)), (len(left), len(right))
            )
            product: Tensor = torch.sparse.sampled_addmm(pattern, left, right.t(), beta=0.0)
            return product.values()
    chunk = max(1, DOT_BYTES_PER_CHUNK // (8 * left.shape[1]))
    places = zip(entries.at_row.split(chunk), entries.at_column.split(chunk), strict=True)
    dtype = torch.promote_types(left.dtype, torch.float32)
    return torch.cat([torch.linalg.vecdot(left[r].to(dtype), right[c].to(dtype)) for r, c in places])
