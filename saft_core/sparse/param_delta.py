"""What the adapters of a batch add to one parameter, in the form that a CPU and the form that a GPU takes best."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numba
import torch
import torch.nn.functional as F
from torch import Tensor

from saft_core.sparse import loops
from saft_core.sparse.slices import Slices


class Gathered(NamedTuple):
    """Entries of one parameter copied side by side, ordered by row of the batch and then by position. For a GPU.

    Torch's operators take them, as many for any number of adapters.

    positions: int32 (E,), not descending, within the parameter flattened and repeated for each row: row * size +
               position. int64 where that does not fit.
    values:    float32 (E,).
    rows:      (E,) of the same dtype as the positions, the row of the batch.
    """

    positions: Tensor
    values: Tensor
    rows: Tensor

    def part(self, whole: int, start: int, size: int) -> Gathered:
        """Those that lie in `size` of the parameter's `whole` entries, from `start` on.

        The others are still there, adding nothing: how many there are would be known only when the device is done.
        """
        wanted = self.positions - self.rows * whole - start
        inside = wanted.clamp(0, size - 1)
        values = torch.where(inside == wanted, self.values, torch.zeros_like(self.values))
        return Gathered(inside + self.rows * size, values, self.rows)

    def matmul(self, x: Tensor, out_width: int) -> Tensor:
        """`(delta of the row) @ x` (B, out_width, N) for `x` (B, in, N).

        The batch's deltas are one block-diagonal sparse matrix of (B * out_width, B * in), and its product is one
        `embedding_bag`: a sum of weighted rows, one tuned kernel.
        """
        batch, in_width, _ = x.shape
        out_row = torch.div(self.positions, in_width, rounding_mode="floor")
        column = torch.sub(self.positions, out_row - self.rows, alpha=in_width)
        flat = x.reshape(batch * in_width, -1)
        return sum_by_bag(flat, column, self.values, out_row, batch * out_width).view(batch, out_width, -1)


ParamDelta = Slices | Gathered
"""What the rows of a batch add to one parameter."""


def sum_by_bag(table: Tensor, rows: Tensor, weights: Tensor, bags: Tensor, count: int) -> Tensor:
    """Sums of weighted rows of `table` (N, width), those of each bag, (count, width).

    rows, bags: (E,), bags not descending. Each sum is added up in the entries' order, so that it has the same bits each
    time: `index_add_` on a GPU adds in any order.
    """
    every = torch.arange(count, dtype=bags.dtype, device=bags.device)
    offsets = torch.searchsorted(bags, every, out_int32=bags.dtype == torch.int32)
    return F.embedding_bag(rows, table, offsets, mode="sum", per_sample_weights=weights)


def to_dense(delta: ParamDelta, batch: int, size: int) -> Tensor:
    """The delta of a parameter of `size` entries, written out: float32 (batch, size)."""
    if isinstance(delta, Slices):
        dense = torch.zeros(batch, size)
        loops.write_dense(dense.numpy(), delta)
        return dense
    flat = torch.zeros(batch * size, dtype=delta.values.dtype, device=delta.values.device)
    return flat.index_add_(0, delta.positions, delta.values).view(batch, size)


def use_torchs_threads() -> None:
    """Have the loops that this thread starts from now on use as many threads as torch does."""
    torchs = torch.get_num_threads()
    numba.set_num_threads(min(torchs, numba.config.NUMBA_NUM_THREADS))
    if torch.get_num_threads() != torchs:  # numba's own start gives OpenMP in this thread all cores
        torch.set_num_threads(torchs)


@cache
def loops_may_meet() -> bool:
    """Whether several threads may run parallel loops at once: numba's own pool, its last resort, does not bear it."""
    use_torchs_threads()  # which starts the pool
    return numba.threading_layer() != "workqueue"  # type: ignore[no-any-return]


def loop_chunks() -> int:
    """In how many chunks a loop shares out its work: one where several threads may not run parallel loops at once."""
    return torch.get_num_threads() if loops_may_meet() else 1
