"""The deltas of one mixed batch: which entries of which parameter differ, for which row of the batch, by how much.

On a GPU they are assembled in a number of operations that does not depend on how many adapters are in the batch: one
concatenation of the adapters and one gather that puts all entries of one parameter side by side. On a CPU a copy costs
what it moves: the loops read the adapters where they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saft_core.clip.flat import FlatParameters
from saft_core.sparse.call import Unsupported
from saft_core.sparse.loaded_delta import INT32_ENTRIES, LoadedDelta
from saft_core.sparse.param_delta import Gathered, ParamDelta
from saft_core.sparse.slices import Integers, Slices, slices_of


@dataclass(frozen=True)
class Row:
    """What one row of a batch is computed with: the base (None), or an adapter's delta at a strength in (0, 1]."""

    delta: LoadedDelta | None
    strength: float = 1.0


class _Table(NamedTuple):
    """Of each (slot, row), one after the other, int64 (slots * rows,).

    lengths: how many entries it has. shifts: where they come from in the concatenation of all deltas, less where they
    go. rows: the row of the batch. offsets: what is added to a flat position to give one of `Gathered.positions`.
    """

    lengths: Integers
    shifts: Integers
    rows: Integers
    offsets: Integers


class BatchDelta:
    """The deltas of all rows of one batch, for the parameters in `slots` (positions in `flat.slots`).

    gather:  whether to copy the rows' entries together, or to leave them where they lie.
    touched: of each of the base's parameters, whether any row differs from the base in it.
    """

    def __init__(
        self, flat: FlatParameters, slots: Sequence[int], rows: Sequence[Row], *, gather: bool | None = None
    ) -> None:
        self._flat = flat
        self._slots = {slot: line for line, slot in enumerate(slots)}
        self._rows = rows
        self.batch = len(rows)
        nothing = np.zeros(len(flat.slots) + 1, np.int64)
        bounds = [nothing if row.delta is None else row.delta.bounds for row in rows]
        self._bounds = np.ascontiguousarray(np.stack(bounds, axis=1))  # (slots + 1, rows)
        lengths = np.diff(self._bounds, axis=0)
        self.touched: list[bool] = (lengths != 0).any(axis=1).tolist()
        self._means: list[float] = lengths.mean(axis=1).tolist()
        self._gathers = flat.buffer.device.type != "cpu" if gather is None else gather
        self._written: list[Tensor] = []

    def of(self, slot: int, part: tuple[int, int] | None = None) -> ParamDelta:
        """What the rows add to one parameter, or to a part of it: from which entry on, and how many.

        Raises Unsupported for a parameter that is not among the slots.
        """
        if slot not in self._slots:
            raise Unsupported("a parameter of the other tower")
        line, whole = self._slots[slot], self._flat.slots[slot]
        if part == (0, whole.size):
            part = None
        if self._gathers:
            own = slice(self._starts[line * self.batch], self._starts[(line + 1) * self.batch])
            gathered = Gathered(*(tensor[own] for tensor in self._gathered))
            return gathered if part is None else gathered.part(whole.size, *part)
        if part is None:
            return self._slices._replace(first=slot, end=slot + 1, offset=whole.offset, mean=self._means[slot])
        begin, size = whole.offset + part[0], part[1]
        bounds = self._bounds_of(begin, size)
        return self._slices._replace(bounds=bounds, offset=begin, mean=float(np.diff(bounds, axis=0).mean()))

    def from_dense(self, differences: Tensor) -> ParamDelta:
        """What `differences` (rows, entries) add to a parameter of so many entries."""
        batch, size = differences.shape
        if self._gathers:  # all of them: how many are not zero would be known only when the device is done
            rows = torch.arange(batch, device=differences.device).repeat_interleave(size)
            return Gathered(torch.arange(batch * size, device=differences.device), differences.reshape(-1), rows)
        rows, columns = differences.nonzero(as_tuple=True)
        ends = np.cumsum([0, *torch.bincount(rows, minlength=batch).tolist()])
        row = columns.int(), differences[rows, columns], 1.0
        self._written += row[:2]  # held as long as their addresses are used
        return slices_of([row] * batch, np.stack([ends[:-1], ends[1:]]))

    def _bounds_of(self, begin: int, size: int) -> Integers:
        """int64 (2, rows): which entries of each row lie in so many of the base's, from `begin` on."""
        bounds = np.zeros((2, self.batch), np.int64)
        for number, row in enumerate(self._rows):
            if row.delta is not None:
                positions = row.delta.positions.numpy()
                bounds[:, number] = np.searchsorted(positions, np.array([begin, begin + size], positions.dtype))
        return bounds

    @cached_property
    def _slices(self) -> Slices:
        """Those of all parameters."""
        rows = [None if (d := row.delta) is None else (d.positions, d.values, row.strength) for row in self._rows]
        return slices_of(rows, self._bounds)

    @cached_property
    def _lengths(self) -> Integers:
        """How many entries each (slot, row) has, one after the other."""
        return np.diff(self._bounds, axis=0)[list(self._slots)].reshape(-1)

    @cached_property
    def _starts(self) -> list[int]:
        """Where each (slot, row) begins in what is gathered, and the end of all."""
        starts: list[int] = [0, *np.cumsum(self._lengths).tolist()]
        return starts

    @cached_property
    def _gathered(self) -> Gathered:
        """The entries of all parameters, ordered by slot, row, position: one upload, and as many operations always."""
        device, total = self._flat.buffer.device, self._starts[-1]
        deltas = list({id(d): d for row in self._rows if (d := row.delta) is not None}.values())
        table = self._table(deltas)
        largest = self.batch * max(self._flat.slots[slot].size for slot in self._slots)
        dtype = np.int32 if max(largest, total) < INT32_ENTRIES else np.int64
        uploaded = torch.from_numpy(np.stack(table).astype(dtype)).to(device)
        lengths, of_each = uploaded[0], uploaded[1:]
        shifts, rows, offsets = torch.repeat_interleave(of_each, lengths, dim=1, output_size=total)
        index = torch.arange(total, dtype=shifts.dtype, device=device).add_(shifts)
        positions = torch.cat([delta.positions for delta in deltas]).index_select(0, index) + offsets
        values = torch.cat([delta.values for delta in deltas]).index_select(0, index)
        if any(row.strength != 1 for row in self._rows):
            strengths = torch.tensor([row.strength for row in self._rows], dtype=values.dtype, device=device)
            values = values.mul_(strengths.index_select(0, rows))
        return Gathered(positions, values, rows)

    def _table(self, deltas: Sequence[LoadedDelta]) -> _Table:
        begin_of = dict(zip(map(id, deltas), np.cumsum([0, *map(len, deltas)]), strict=False))
        begins = np.array([begin_of.get(id(row.delta), 0) for row in self._rows])
        sources = (self._bounds[list(self._slots)] + begins).reshape(-1)
        every = np.arange(self.batch)
        slots = [self._flat.slots[slot] for slot in self._slots]
        offsets = np.concatenate([every * slot.size - slot.offset for slot in slots])
        return _Table(self._lengths, sources - self._starts[:-1], np.tile(every, len(slots)), offsets)
