"""The selection strategies by name: start here to add one.

A strategy is a function from `SelectionInput` to flat indices and a line in `STRATEGIES`. Its name goes into
`saft_core/training_options.py`, from where the API takes it, and into the Python client and docs/training.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.flat import IndexArray
from saft_core.training_options import Selection
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.costs import GRADIENT, RANKING, BackwardPasses
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.objective import Objective
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.selection import (
    Range,
    eligible_ranges,
    entry_count,
    nonzero_top_k,
    random_entries,
    slot_mask,
    top_k,
)
from saft_core.tuning.selection_scores import SlotMask, fisher, mean_gradient


@dataclass(frozen=True, eq=False)
class SelectionInput:
    """What a strategy may choose by: the base, the labelled images, and the settings of the fine-tune.

    count: how many entries to choose, floor(density * D). ranges: the flat indices that may be chosen.
    meter: to be told of each image that passed.
    """

    base: Base
    loader: PixelLoader
    labels: tuple[str, ...]
    config: TrainingConfig
    count: int
    ranges: Sequence[Range]
    meter: WorkMeter


class Score(Protocol):
    """A function that scores every parameter of an objective's model; see `selection_scores.py`."""

    def __call__(self, objective: Objective, slots: SlotMask | None, meter: WorkMeter | None) -> Tensor:
        """One score for each entry, (D,), on the model's device."""


@dataclass(frozen=True)
class Strategy:
    """A way to choose entries.

    choose: gives sorted flat indices, int64, at most `count` of them.
    backward_passes: how many backward passes it takes over the images, for the estimate of its time.
    """

    choose: Callable[[SelectionInput], IndexArray]
    backward_passes: BackwardPasses


def _largest_scores(given: SelectionInput, *, score: Score) -> IndexArray:
    objective = ClassPromptLoss(given.base, given.loader, given.labels, given.config)
    scores = score(objective, slot_mask(given.base.flat, given.ranges), given.meter)
    return nonzero_top_k(scores, given.count, given.ranges)


def _random(given: SelectionInput) -> IndexArray:
    return random_entries(given.count, given.ranges, given.config.seed)


def _smallest_magnitude(given: SelectionInput) -> IndexArray:
    return top_k(given.base.flat.buffer, given.count, given.ranges, score=lambda values: torch.neg(values.abs()))


STRATEGIES: Mapping[Selection, Strategy] = {
    "mean_gradient": Strategy(partial(_largest_scores, score=mean_gradient), "one"),
    "fisher": Strategy(partial(_largest_scores, score=fisher), "one per sample"),
    "random": Strategy(_random, "none"),
    "smallest_magnitude": Strategy(_smallest_magnitude, "none"),
}


def select_for(
    base: Base, loader: PixelLoader, labels: tuple[str, ...], config: TrainingConfig, meter: WorkMeter
) -> IndexArray:
    """The entries that a fine-tune of `base` on labelled images may change: sorted flat indices, int64 (d,).

    d is less than floor(density * D) where fewer entries have a gradient at all; the embeddings of words that no prompt
    holds have none.

    Raises InvalidConfig when the density selects nothing, or more than the encoder has; TrainingDiverged when a score
    is not finite; TrainingFailed when all are zero; InvalidImage, and what the meter's observer raises.
    """
    ranges = eligible_ranges(base.flat, config.encoders)
    count = entry_count(config.density, len(base.flat), ranges)
    given = SelectionInput(base, loader, labels, config, count, ranges, meter)
    strategy = STRATEGIES[config.selection]
    if strategy.backward_passes == "none":  # the plan has them for every strategy
        meter.advance(GRADIENT, len(loader))
    indices = strategy.choose(given)
    meter.advance(RANKING)
    return indices
