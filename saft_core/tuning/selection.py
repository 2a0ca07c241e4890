"""Top-k over flat vectors: the entries a fine-tune may change, by their scores (SAFT, arXiv 2407.03036, equation 3).

`strategies.py` names the strategies that call these functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.clip.flat import FlatParameters, IndexArray, tower_of
from saft_core.errors import InvalidConfig, TrainingDiverged, TrainingFailed
from saft_core.training_options import Encoders

ENTRIES_PER_CHUNK = 1 << 22
"""Scores that `top_k` compares at once; with the candidates so far this bounds its memory, whatever D is."""

Range = tuple[int, int]
"""Flat indices from the first (inclusive) to the second (exclusive)."""


def select(scores: Tensor, density: float, ranges: Sequence[Range] | None = None) -> IndexArray:
    """Equation 3: the floor(density * D) entries of largest magnitude as sorted flat indices, int64 (d,).

    An entry whose score is zero is never selected, however many are asked for: the loss does not depend on it.

    scores: (D,), for instance the mean gradient. ranges: where entries may be chosen, everywhere if None; D counts all
    entries all the same. Of equal magnitudes the lower index is selected, so the result never depends on the machine.

    Raises InvalidConfig when nothing would be selected, or more than there is; TrainingDiverged when a score is not
    finite; TrainingFailed when all are zero.
    """
    ranges = [(0, len(scores))] if ranges is None else ranges
    return nonzero_top_k(scores, entry_count(density, len(scores), ranges), ranges)


def nonzero_top_k(scores: Tensor, count: int, ranges: Sequence[Range]) -> IndexArray:
    """Up to `count` entries of largest magnitude that are not zero, as sorted flat indices, int64.

    Raises TrainingDiverged when a score is not finite; TrainingFailed when all are zero.
    """
    indices = top_k(scores, count, ranges, above=0.0)
    if not len(indices):
        raise TrainingFailed("the gradient is zero everywhere on these images, so there is nothing to select")
    return indices


def top_k(
    scores: Tensor,
    count: int,
    ranges: Sequence[Range],
    score: Callable[[Tensor], Tensor] = torch.abs,
    *,
    above: float = -math.inf,
    entries_per_chunk: int = ENTRIES_PER_CHUNK,
) -> IndexArray:
    """The `count` entries within `ranges` whose `score` is largest, as sorted flat indices; ties go to the lower index.

    score: applied to each chunk of `scores`. Entries whose score is not `above` are passed over, so there may be fewer.
    Each chunk is read once and compared with a rising threshold: memory is for `count` candidates and one chunk, not
    for D.

    Raises TrainingDiverged when a score is not finite.
    """
    indices, values = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    threshold = above
    for start, end in _chunks(ranges, entries_per_chunk):
        chunk = score(scores[start:end].detach()).cpu().numpy()
        if not np.isfinite(chunk).all():
            raise TrainingDiverged("the gradient of the base is not finite on these images")
        better = np.flatnonzero(chunk > threshold)
        indices, values = np.concatenate([indices, better + start]), np.concatenate([values, chunk[better]])
        if len(values) > count:
            kept = _top(values, count)
            indices, values = indices[kept], values[kept]
        if len(values) == count:
            threshold = values.min()
    return indices


def _top(values: npt.NDArray[np.floating], count: int) -> IndexArray:
    """Positions of the `count` largest values, ascending; of equal ones the first."""
    border = np.partition(values, len(values) - count)[len(values) - count]
    above = np.flatnonzero(values > border)
    level = np.flatnonzero(values == border)[: count - len(above)]
    return np.sort(np.concatenate([above, level])).astype(np.int64)


def _chunks(ranges: Sequence[Range], length: int) -> Iterator[Range]:
    for first, last in ranges:
        for start in range(first, last, length):
            yield start, min(start + length, last)


def random_entries(count: int, ranges: Sequence[Range], seed: int) -> IndexArray:
    """`count` entries within `ranges`, all equally likely, drawn from `seed`; sorted flat indices."""
    lengths = np.array([end - start for start, end in ranges])
    drawn = np.sort(np.random.default_rng(seed).choice(int(lengths.sum()), count, replace=False))
    before = np.concatenate([[0], lengths.cumsum()])
    part = np.searchsorted(before, drawn, side="right") - 1
    return np.asarray(drawn - before[part] + np.array([start for start, _ in ranges])[part], dtype=np.int64)


def eligible_ranges(flat: FlatParameters, encoders: Encoders) -> list[Range]:
    """The flat indices of the chosen towers' parameters, as ranges that do not touch each other."""
    wanted = [slot for slot in flat.slots if encoders in ("both", tower_of(slot.name))]
    ranges: list[Range] = []
    for slot in wanted:
        if ranges and ranges[-1][1] == slot.offset:
            ranges[-1] = (ranges[-1][0], slot.offset + slot.size)
        else:
            ranges.append((slot.offset, slot.offset + slot.size))
    return ranges


def slot_mask(flat: FlatParameters, ranges: Sequence[Range]) -> npt.NDArray[np.bool_]:
    """Of each of the model's parameters, bool (parameters,), whether it lies within `ranges`."""
    return np.array([any(start <= slot.offset < end for start, end in ranges) for slot in flat.slots])


def entry_count(density: float, parameters: int, ranges: Sequence[Range]) -> int:
    """floor(density * D). Raises InvalidConfig when that is zero, or more than the ranges hold."""
    count = math.floor(density * parameters)
    if count < 1:
        raise InvalidConfig(f"density {density} selects none of {parameters} parameters; raise it")
    if count > sum(end - start for start, end in ranges):
        raise InvalidConfig(f"density {density} selects more entries than the chosen encoder has; lower it")
    return count
