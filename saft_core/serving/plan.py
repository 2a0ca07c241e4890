"""The corrections of one mixed batch: which entries of which parameter differ, for which row of the batch, by how much.

On a GPU they are assembled in a number of operations that does not depend on how many adapters are in the batch: one
concatenation of the adapters and one gather that puts all entries of one parameter side by side. On a CPU a copy costs
what it moves, so each parameter's entries are copied when asked for, straight from the adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.clip.flat import FlatParameters
from saft_core.serving import kernels
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
        nothing = np.zeros(len(flat.slots) + 1, np.int64)
        self._bounds = np.stack([nothing if row.resident is None else row.resident.bounds for row in rows])
        self._lengths = np.diff(self._bounds, axis=1)[:, slots].T
        self._ends = np.cumsum(self._lengths)

    def touches(self, slot: int) -> bool:
        """Whether any row differs from the base in this parameter."""
        line = self._slots.get(slot)
        if line is None:
            return bool((self._bounds[:, slot] != self._bounds[:, slot + 1]).any())
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
    def _sources(self) -> kernels.Sources:
        residents = [row.resident for row in self._rows]
        like = next((r.positions.numpy()[:0] for r in residents if r is not None), np.empty(0, np.int32))
        addresses = [(0, 0) if r is None else (r.positions.data_ptr(), r.values.data_ptr()) for r in residents]
        positions, values = np.array(addresses, np.int64).T.copy()
        return kernels.Sources(positions, values, like, np.array([row.strength for row in self._rows], np.float32))

    def _copied(self, slot: int, starts: npt.NDArray[np.int64]) -> Entries:
        """The entries of one parameter, piece by piece from each row's adapter."""
        at = self._flat.slots[slot]
        fits = max(self.batch * at.size, len(self._flat)) < INT32_ENTRIES
        shifts = np.arange(self.batch) * at.size - at.offset
        firsts = np.ascontiguousarray(self._bounds[:, slot])
        return Entries(*self._sources.entries(firsts, starts, shifts, np.int32 if fits else np.int64), starts)

    @cached_property
    def _gathered(self) -> tuple[Tensor, Tensor, Tensor]:
        """Positions, scaled values and rows of all entries, as in Entries, ordered by slot, row, position."""
        device = self._flat.buffer.device
        residents = list({id(r): r for row in self._rows if (r := row.resident) is not None}.values())
        lengths = self._lengths.reshape(-1)
        total = int(self._ends[-1])
        # From where in the concatenation each (slot, row) piece comes, less where it goes: one upload with the rest.
        begin_of = dict(zip(map(id, residents), np.cumsum([0, *map(len, residents)]), strict=False))
        begins = np.array([begin_of.get(id(row.resident), 0) for row in self._rows])
        sources = self._bounds[:, list(self._slots)].T + begins
        shifts = sources.reshape(-1) - (self._ends - lengths)
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
