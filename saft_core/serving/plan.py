"""The corrections of one mixed batch: which entries of which parameter differ, for which row of the batch, by how much.

On a GPU they are assembled in a number of operations that does not depend on how many adapters are in the batch: one
concatenation of the adapters and one gather that puts all entries of one parameter side by side. On a CPU a copy costs
what it moves, so each parameter's entries are copied when asked for, in a fraction of the gather's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.clip.flat import FlatParameters
from saft_core.serving.resident import INT32_ENTRIES, Resident


@dataclass(frozen=True)
class Row:
    """What one row of a batch is computed with: the base (None), or an adapter at a strength in (0, 1]."""

    resident: Resident | None
    strength: float = 1.0


@dataclass(frozen=True, eq=False)
class Entries:
    """The differing entries of one parameter, ordered by row of the batch and then by position.

    positions: int32 (E,), ascending, within the parameter flattened and repeated for each row: row * size + position.
               int64 where that does not fit.
    values:    float32 (E,).
    rows:      (E,) of the same dtype, the row of the batch.
    starts:    on the host, (rows + 1,); the entries of row b are `starts[b]` to `starts[b + 1]`.
    """

    positions: Tensor
    values: Tensor
    rows: Tensor
    starts: npt.NDArray[np.int64]


class Plan:
    """All corrections of one batch, for the parameters in `slots` (positions in `flat.slots`)."""

    def __init__(self, flat: FlatParameters, slots: Sequence[int], rows: Sequence[Row]) -> None:
        self._flat = flat
        self._slots = {slot: line for line, slot in enumerate(slots)}
        self._rows = rows
        self.batch = len(rows)
        self._lengths = self._count(slots)
        self._ends = np.cumsum(self._lengths)

    def touches(self, slot: int) -> bool:
        """Whether any row differs from the base in this parameter."""
        line = self._slots.get(slot)
        if line is None:
            return any(row.resident is not None and np.diff(row.resident.bounds)[slot] for row in self._rows)
        return bool(self._lengths[line].any())

    def entries(self, slot: int) -> Entries:
        """The entries of one parameter. Raises KeyError for one that the plan was not made for."""
        line = self._slots[slot]
        starts = np.concatenate([[0], np.cumsum(self._lengths[line])])
        if self._flat.buffer.device.type == "cpu":
            return self._copied(slot, starts)
        last = int(self._ends[(line + 1) * self.batch - 1])
        part = slice(last - int(starts[-1]), last)
        positions, values, rows = self._gathered
        return Entries(positions[part], values[part], rows[part], starts)

    @cached_property
    def _on_host(self) -> list[tuple[int, npt.NDArray[Any], npt.NDArray[np.float32], list[int], np.float32]]:
        """Of each row with an adapter: its number, and the adapter's positions, values, bounds and strength."""
        return [
            (number, r.positions.numpy(), r.values.numpy(), r.bounds.tolist(), np.float32(row.strength))
            for number, row in enumerate(self._rows)
            if (r := row.resident) is not None
        ]

    def _copied(self, slot: int, starts: npt.NDArray[np.int64]) -> Entries:
        """The entries of one parameter, piece by piece from each row's adapter."""
        at, total = self._flat.slots[slot], int(starts[-1])
        fits = max(self.batch * at.size, len(self._flat)) < INT32_ENTRIES
        positions, values = np.empty(total, np.int32 if fits else np.int64), np.empty(total, np.float32)
        ends = starts.tolist()
        for number, row_positions, row_values, bounds, strength in self._on_host:
            source, target = slice(bounds[slot], bounds[slot + 1]), slice(ends[number], ends[number + 1])
            np.add(row_positions[source], number * at.size - at.offset, out=positions[target])
            np.multiply(row_values[source], strength, out=values[target])
        rows = np.repeat(np.arange(self.batch, dtype=positions.dtype), np.diff(starts))
        return Entries(torch.from_numpy(positions), torch.from_numpy(values), torch.from_numpy(rows), starts)

    def _count(self, slots: Sequence[int]) -> npt.NDArray[np.int64]:
        """Entries by slot and row of the batch, (slots, rows)."""
        nothing = np.zeros(len(slots), np.int64)
        columns = [nothing if row.resident is None else np.diff(row.resident.bounds)[slots] for row in self._rows]
        return np.stack(columns, axis=1) if columns else nothing[:, None]

    @cached_property
    def _gathered(self) -> tuple[Tensor, Tensor, Tensor]:
        """Positions, scaled values and rows of all entries, as in Entries, ordered by slot, row, position."""
        device = self._flat.buffer.device
        residents = list({id(r): r for row in self._rows if (r := row.resident) is not None}.values())
        lengths = self._lengths.reshape(-1)
        total = int(self._ends[-1])
        # From where in the concatenation each (slot, row) piece comes, less where it goes: one upload with the rest.
        shifts = self._sources(residents).reshape(-1) - (self._ends - lengths)
        of_row = np.tile(np.arange(self.batch), len(self._slots))
        slots = [self._flat.slots[slot] for slot in self._slots]
        local = np.concatenate([np.arange(self.batch) * slot.size - slot.offset for slot in slots])
        fits = self.batch * max(slot.size for slot in slots) < INT32_ENTRIES and total < INT32_ENTRIES
        numbers = np.stack([lengths, shifts, of_row, local]).astype(np.int32 if fits else np.int64)
        table = torch.from_numpy(numbers).to(device)
        pieces = torch.repeat_interleave(table[1:], table[0], dim=1, output_size=total)
        index = torch.arange(total, dtype=pieces.dtype, device=device).add_(pieces[0])
        positions = torch.cat([r.positions for r in residents]).index_select(0, index) + pieces[2]
        values = torch.cat([r.values for r in residents]).index_select(0, index)
        if any(row.strength != 1 for row in self._rows):
            strengths = torch.tensor([row.strength for row in self._rows], dtype=values.dtype, device=device)
            values = values.mul_(strengths.index_select(0, pieces[1]))
        return positions, values, pieces[1]

    def _sources(self, residents: Sequence[Resident]) -> npt.NDArray[np.int64]:
        """Where in the concatenation of `residents` each (slot, row) piece begins."""
        begins = np.cumsum([0, *(len(r) for r in residents)])
        begin_of = {id(r): int(begin) for r, begin in zip(residents, begins, strict=False)}
        slots = list(self._slots)
        nothing = np.zeros(len(slots), np.int64)
        columns = [
            nothing if row.resident is None else row.resident.bounds[slots] + begin_of[id(row.resident)]
            for row in self._rows
        ]
        return np.stack(columns, axis=1)
