"""What a pass costs, and which passes answer a batch in the least time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

LONGER = 1.5
"""Lone passes that a short one may take: so much longer does somebody wait who comes while it is under way."""
DEARER = 2.0
"""Than in the best pass may a row be in a short one, which has more rows rather than waste half of the engine."""


Times = tuple[tuple[int, float], ...]
"""(rows, seconds) of passes, rows ascending."""


@dataclass(frozen=True)
class Costs:
    """Measured times of one kind of pass (image or text), in seconds.

    forward:              (rows, seconds) of the base's forward, rows ascending; between them is interpolated.
    switch_entry_seconds: writing one entry of an adapter into the base and back.
    mixed_entry_seconds:  one entry's correction for one row of a mixed pass.
    mixed_seconds:        what a mixed pass costs on top, whatever is in it.
    compiled:             as `forward`, of a compiled tower; empty until it is measured.

    The defaults stand for nothing measured: time in proportion to rows, with a small cost per pass.
    """

    forward: Times = ((1, 1.0), (32, 20.0))
    switch_entry_seconds: float = 0.0
    mixed_entry_seconds: float = 0.0
    mixed_seconds: float = 2.0
    compiled: Times = ()

    def forward_seconds(self, rows: int) -> float:
        """The base's forward on so many rows; beyond the last measurement in proportion to it."""
        return _interpolated(self.forward, rows)

    def alone_seconds(self, group: Group) -> float:
        """A pass of its own for one group."""
        if group.compiled and self.compiled:
            return _interpolated(self.compiled, group.rows)
        return self.forward_seconds(group.rows) + self.switch_entry_seconds * group.entries

    def shared_seconds(self, groups: Sequence[Group]) -> float:
        """One mixed pass over several groups."""
        corrected = sum(group.rows * group.entries for group in groups)
        rows = sum(group.rows for group in groups)
        return self.forward_seconds(rows) + self.mixed_seconds + self.mixed_entry_seconds * corrected


@dataclass(frozen=True)
class Group:
    """The rows of a batch that one adapter answers; `entries` of it differ from the base.

    compiled: whether its tower is compiled.
    """

    rows: int
    entries: int
    compiled: bool = False


def _interpolated(times: Times, rows: int) -> float:
    known, seconds = zip(*times, strict=True)
    if rows > known[-1]:
        return float(seconds[-1] * rows / known[-1])
    return float(np.interp(rows, known, seconds))


@lru_cache(maxsize=16)
def short_seconds(costs: Costs, most: int) -> float:
    """What a short pass takes: LONGER times a lone row, or as many rows as it needs to be no DEARER than `most`."""
    seconds = {rows: costs.forward_seconds(rows) for rows in range(1, most + 1)}
    best = min(passed / rows for rows, passed in seconds.items())
    useful = min(rows for rows, passed in seconds.items() if passed / rows <= DEARER * best)
    return max(LONGER * seconds[1], seconds[useful])


@lru_cache(maxsize=16)
def short_rows(costs: Costs, most: int) -> int:
    """The rows of one adapter in a short pass."""
    allowed = short_seconds(costs, most)
    return max(rows for rows in range(1, most + 1) if costs.forward_seconds(rows) <= allowed)


def undisturbed(forward: Mapping[int, float]) -> Times:
    """Times of passes by rows, less what other processes added to one of them and not to all.

    Others only add: so a pass takes no longer than one of more rows, nor than several of fewer rows that do the same.
    """
    return tuple(
        (rows, min(s * (1 if other >= rows else -(-rows // other)) for other, s in forward.items()))
        for rows in sorted(forward)
    )


Item = TypeVar("Item")


def planned_seconds(groups: Sequence[Group], costs: Costs, *, mixes: bool) -> float:
    """What a batch takes by the cheapest split, or by passes of one group each where the base cannot mix."""
    alone, shared = cheapest_split([(group, group) for group in groups], costs) if mixes else (groups, [])
    return sum(map(costs.alone_seconds, alone)) + (costs.shared_seconds(shared) if shared else 0.0)


def cheapest_split(groups: Sequence[tuple[Item, Group]], costs: Costs) -> tuple[list[Item], list[Item]]:
    """Split the groups of a batch into those that get a pass of their own each and those that share a mixed one.

    Only splits by size are tried, the compiled ones before all others: the larger a group, the better a pass of its own
    pays. Either part may be empty; the second never holds exactly one group.
    """
    ordered = sorted(groups, key=lambda pair: (not pair[1].compiled, -pair[1].rows))
    best, best_seconds = len(ordered), sum(costs.alone_seconds(group) for _, group in ordered)
    swapped = 0.0
    for alone in range(len(ordered) - 1):
        shared = costs.shared_seconds([group for _, group in ordered[alone:]])
        if swapped + shared < best_seconds:
            best, best_seconds = alone, swapped + shared
        swapped += costs.alone_seconds(ordered[alone][1])
    return [item for item, _ in ordered[:best]], [item for item, _ in ordered[best:]]
