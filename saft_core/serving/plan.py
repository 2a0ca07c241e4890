"""The corrections of one mixed batch: which entries of which parameter differ, for which row of the batch, by how much.

On a GPU they are assembled in a number of operations that does not depend on how many adapters are in the batch: one
concatenation of the adapters and one gather that puts all entries of one parameter side by side. On a CPU a copy costs
what it moves: the loops read the adapters where they lie.
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
from saft_core.serving.calls import Unsupported
from saft_core.serving.kernels import Pieces, Sources
from saft_core.serving.resident import INT32_ENTRIES, Resident


@dataclass(frozen=True)
class Row:
    """What one row of a batch is computed with: the base (None), or an adapter at a strength in (0, 1]."""

    resident: Resident | None
    strength: float = 1.0


@dataclass(frozen=True, eq=False)
class Entries:
    """The differing entries of one parameter, ordered by row of the batch and then by position.

    positions: int32 (E,), not descending, within the parameter flattened and repeated for each row: row * size +
               position. int64 where that does not fit.
    values:    float32 (E,).
    rows:      (E,) of the same dtype, the row of the batch.
    """

    positions: Tensor
    values: Tensor
    rows: Tensor

    def part(self, whole: int, start: int, size: int) -> Entries:
        """Those that lie in `size` of the parameter's `whole` entries, from `start` on.

        The others are still there, adding nothing: how many there are would be known only when the device is done.
        """
        wanted = self.positions - self.rows * whole - start
        inside = wanted.clamp(0, size - 1)
        values = torch.where(inside == wanted, self.values, torch.zeros_like(self.values))
        return Entries(inside + self.rows * size, values, self.rows)


Differences = Entries | Pieces
"""Of one parameter, for all rows of a batch."""


class Plan:
    """All corrections of one batch, for the parameters in `slots` (positions in `flat.slots`).

    gather:  whether to copy the adapters' entries together, or to leave them where they lie.
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
        bounds = [nothing if row.resident is None else row.resident.bounds for row in rows]
        self._bounds = np.ascontiguousarray(np.stack(bounds, axis=1))  # (slots + 1, rows)
        lengths = np.diff(self._bounds, axis=0)
        self.touched: list[bool] = (lengths != 0).any(axis=1).tolist()
        self._means: list[float] = lengths.mean(axis=1).tolist()
        self._gathers = flat.buffer.device.type != "cpu" if gather is None else gather

    def differences(self, slot: int, part: tuple[int, int] | None = None) -> Differences:
        """What the rows add to one parameter, or to a part of it: from which entry on, and how many.

        Raises Unsupported for a parameter that the plan was not made for.
        """
        if slot not in self._slots:
            raise Unsupported("a parameter of the other tower")
        line, whole = self._slots[slot], self._flat.slots[slot]
        if part == (0, whole.size):
            part = None
        if self._gathers:
            own = slice(self._starts[line * self.batch], self._starts[(line + 1) * self.batch])
            entries = Entries(*(tensor[own] for tensor in self._gathered))
            return entries if part is None else entries.part(whole.size, *part)
        if part is None:
            return Pieces(self._sources, self._bounds, slot, slot + 1, whole.offset, self._means[slot])
        begin, size = whole.offset + part[0], part[1]
        return _pieces(self._sources, self._bounds_of(begin, size), begin)

    def written(self, differences: Tensor) -> Differences:
        """Differences that are written out for each row, (rows, entries), as those of a parameter of their own."""
        batch, size = differences.shape
        if self._gathers:  # all of them: how many are not zero would be known only when the device is done
            rows = torch.arange(batch, device=differences.device).repeat_interleave(size)
            return Entries(torch.arange(batch * size, device=differences.device), differences.reshape(-1), rows)
        rows, columns = differences.nonzero(as_tuple=True)
        ends = np.cumsum([0, *torch.bincount(rows, minlength=batch).tolist()])
        sources = Sources([(columns.int(), differences[rows, columns], 1.0)] * batch)
        return _pieces(sources, np.stack([ends[:-1], ends[1:]]), 0)

    def _bounds_of(self, begin: int, size: int) -> npt.NDArray[np.int64]:
        """int64 (2, rows): which entries of each row lie in so many of the base's, from `begin` on."""
        bounds = np.zeros((2, self.batch), np.int64)
        for number, row in enumerate(self._rows):
            if row.resident is not None:
                positions = row.resident.positions.numpy()
                bounds[:, number] = np.searchsorted(positions, np.array([begin, begin + size], positions.dtype))
        return bounds

    @cached_property
    def _sources(self) -> Sources:
        return Sources(
            [None if (r := row.resident) is None else (r.positions, r.values, row.strength) for row in self._rows]
        )

    @cached_property
    def _lengths(self) -> npt.NDArray[np.int64]:
        """How many entries each (slot, row) has, one after the other."""
        return np.diff(self._bounds, axis=0)[list(self._slots)].reshape(-1)

    @cached_property
    def _starts(self) -> list[int]:
        """Where each (slot, row) begins in what is gathered, and the end of all."""
        starts: list[int] = [0, *np.cumsum(self._lengths).tolist()]
        return starts

    @cached_property
    def _gathered(self) -> tuple[Tensor, Tensor, Tensor]:
        """Positions, scaled values and rows of all entries, as in Entries, ordered by slot, row, position."""
        device = self._flat.buffer.device
        residents = list({id(r): r for row in self._rows if (r := row.resident) is not None}.values())
        total = self._starts[-1]
        # From where in the concatenation each (slot, row) piece comes, less where it goes: one upload with the rest.
        begin_of = dict(zip(map(id, residents), np.cumsum([0, *map(len, residents)]), strict=False))
        begins = np.array([begin_of.get(id(row.resident), 0) for row in self._rows])
        sources = self._bounds[list(self._slots)] + begins
        shifts = sources.reshape(-1) - self._starts[:-1]
        of_row = np.tile(np.arange(self.batch), len(self._slots))
        slots = [self._flat.slots[slot] for slot in self._slots]
        local = np.concatenate([np.arange(self.batch) * slot.size - slot.offset for slot in slots])
        fits = self.batch * max(slot.size for slot in slots) < INT32_ENTRIES and total < INT32_ENTRIES
        numbers = np.stack([self._lengths, shifts, of_row, local]).astype(np.int32 if fits else np.int64)
        table = torch.from_numpy(numbers).to(device)
        pieces = torch.repeat_interleave(table[1:], table[0], dim=1, output_size=total)
        index = torch.arange(total, dtype=pieces.dtype, device=device).add_(pieces[0])
        positions = torch.cat([r.positions for r in residents]).index_select(0, index) + pieces[2]
        values = torch.cat([r.values for r in residents]).index_select(0, index)
        if any(row.strength != 1 for row in self._rows):
            strengths = torch.tensor([row.strength for row in self._rows], dtype=values.dtype, device=device)
            values = values.mul_(strengths.index_select(0, pieces[1]))
        return positions, values, pieces[1]


def _pieces(sources: Sources, bounds: npt.NDArray[np.int64], offset: int) -> Pieces:
    """The entries of one parameter from `bounds[0]` to `bounds[1]`."""
    return Pieces(sources, bounds, 0, 1, offset, float((bounds[1] - bounds[0]).mean()))
