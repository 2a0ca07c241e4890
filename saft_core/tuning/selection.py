"""Selection: which parameters a task may change (SAFT, arXiv 2407.03036, equation 3, and the paper's ablations)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.flat import FlatParameters, IndexArray, tower_of
from saft_core.errors import InvalidConfig, TrainingDiverged, TrainingFailed
from saft_core.training_options import Encoders
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.costs import GRADIENT, RANKING
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.scores import fisher, mean_gradient

ENTRIES_PER_LOOK = 1 << 22
"""Scores that top-k looks at together; with the candidates so far this bounds its memory, whatever D is."""

Range = tuple[int, int]
"""Flat indices from the first to before the second."""


def select_for(
    base: Base, loader: PixelLoader, labels: tuple[str, ...], config: TrainingConfig, meter: WorkMeter
) -> IndexArray:
    """`select`, of a CLIP on labelled images: the entries that one task may change, as sorted flat indices, int64 (d,).

    d is less than asked for where fewer have a gradient at all, such as the embeddings of words that no prompt holds.

    Raises what `select` raises.
    """
    found = _selected(base, loader, labels, config, meter)
    meter.advance(RANKING)
    return found


def _selected(
    base: Base, loader: PixelLoader, labels: tuple[str, ...], config: TrainingConfig, meter: WorkMeter
) -> IndexArray:
    ranges = eligible_ranges(base.flat, config.encoders)
    count = _count(config.density, len(base.flat), ranges)
    if config.selection in ("mean_gradient", "fisher"):
        score = mean_gradient if config.selection == "mean_gradient" else fisher
        scores = score(ClassPromptLoss(base, loader, labels, config), _slot_mask(base.flat, ranges), meter)
        return _nonzero(scores, count, ranges)
    meter.advance(GRADIENT, len(loader))
    if config.selection == "random":
        return random_entries(count, ranges, config.seed)
    return largest(base.flat.buffer, count, ranges, score=_smallness)


def select(scores: Tensor, density: float, ranges: Sequence[Range] | None = None) -> IndexArray:
    """Equation 3: the floor(density * D) entries of largest magnitude as sorted flat indices, int64 (d,).

    An entry whose score is zero is none of them, however many are asked for: it has nothing to do with the task.

    scores: (D,), for instance the mean gradient. ranges: where entries may be chosen, everywhere if None; D counts all
    entries all the same. Of equal magnitudes the lower index is kept, so the answer never depends on the machine.

    Raises InvalidConfig when nothing would be selected, or more than there is; TrainingDiverged when a score is not
    finite; TrainingFailed when all are zero.
    """
    ranges = [(0, len(scores))] if ranges is None else ranges
    return _nonzero(scores, _count(density, len(scores), ranges), ranges)


def _nonzero(scores: Tensor, count: int, ranges: Sequence[Range]) -> IndexArray:
    """Up to `count` entries of largest magnitude, none of them zero. Raises TrainingFailed when there is none."""
    places = largest(scores, count, ranges, above=0.0)
    if not len(places):
        raise TrainingFailed("the gradient is zero everywhere on these images, so there is nothing to select")
    return places


def largest(
    scores: Tensor,
    count: int,
    ranges: Sequence[Range],
    score: Callable[[Tensor], Tensor] = torch.abs,
    *,
    above: float = -math.inf,
    entries_per_look: int = ENTRIES_PER_LOOK,
) -> IndexArray:
    """The `count` entries within `ranges` whose `score` is largest, sorted; ties go to the lower index.

    Scores that are not `above` are passed over, so there may be fewer.

    One look at each entry, with a threshold that rises: memory is for `count` candidates and one look, not for D.
    """
    places, values = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    threshold = above
    for start, end in _looks(ranges, entries_per_look):
        seen = score(scores[start:end].detach()).cpu().numpy()
        if not np.isfinite(seen).all():
            raise TrainingDiverged("the gradient of the base is not finite on these images")
        better = np.flatnonzero(seen > threshold)
        places, values = np.concatenate([places, better + start]), np.concatenate([values, seen[better]])
        if len(values) > count:
            kept = _top(values, count)
            places, values = places[kept], values[kept]
        if len(values) == count:
            threshold = values.min()
    return places


def _top(values: npt.NDArray[np.floating], count: int) -> IndexArray:
    """Positions of the `count` largest, ascending; of equal ones the first."""
    border = np.partition(values, len(values) - count)[len(values) - count]
    above = np.flatnonzero(values > border)
    level = np.flatnonzero(values == border)[: count - len(above)]
    return np.sort(np.concatenate([above, level])).astype(np.int64)


def _looks(ranges: Sequence[Range], length: int) -> Iterator[Range]:
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
    """Where the entries of the chosen tower lie."""
    wanted = [slot for slot in flat.slots if encoders in ("both", tower_of(slot.name))]
    ranges: list[Range] = []
    for slot in wanted:
        if ranges and ranges[-1][1] == slot.offset:
            ranges[-1] = (ranges[-1][0], slot.offset + slot.size)
        else:
            ranges.append((slot.offset, slot.offset + slot.size))
    return ranges


def _slot_mask(flat: FlatParameters, ranges: Sequence[Range]) -> npt.NDArray[np.bool_]:
    return np.array([any(start <= slot.offset < end for start, end in ranges) for slot in flat.slots])


def _count(density: float, parameters: int, ranges: Sequence[Range]) -> int:
    """Floor of density times D. Raises InvalidConfig when that is nothing, or more than the ranges hold."""
    count = math.floor(density * parameters)
    if count < 1:
        raise InvalidConfig(f"density {density} selects none of {parameters} parameters; raise it")
    if count > sum(end - start for start, end in ranges):
        raise InvalidConfig(f"density {density} selects more entries than the chosen encoder has; lower it")
    return count


def _smallness(values: Tensor) -> Tensor:
    return -values.abs()
