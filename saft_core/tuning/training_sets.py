"""The images of one fine-tune, and how they are split into training, validation and held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saft_core.data.limits import DataLimits
from saft_core.data.near_duplicates import representatives
from saft_core.data.samples import Sample
from saft_core.data.splits import draw_shots, stratified_split
from saft_core.tuning.config import TrainingConfig

HELD_OUT_SHARE = 0.2
"""Part of each class that is held out from training to learn the strength on, and to evaluate on."""
VALIDATION_SHARE = 0.2
"""Part of each class that early stopping validates on instead of training on it."""


@dataclass(frozen=True)
class TrainingSets:
    """The labelled images of a fine-tune: what it trains on and what it is tested on.

    labels: the classes, in label order. train: their samples. test: samples of the same classes that `train` does not
    have; may be empty.
    new_labels, new_test: classes that are not trained, and samples of them, to test what else the adapter changes.
    shared_images: how many test images were left out because they are trained on.
    untested_labels: classes of the test images that are not tested, because no image of theirs is left or because
    there is no other new class to tell them from.
    """

    labels: tuple[str, ...]
    train: Sequence[Sample]
    test: Sequence[Sample] = ()
    shared_images: int = 0
    new_labels: tuple[str, ...] = ()
    new_test: Sequence[Sample] = ()
    untested_labels: tuple[str, ...] = ()


class Splits:
    """How the training images of one fine-tune are split; the same images are always split the same way.

    Copies of a picture (`saft_core/data/near_duplicates.py`) are on one side of each split.
    shots: all samples to train on, K of each class where the configuration says so.
    not_held_out, held_out: the two parts of `shots`. The first training takes the former.
    """

    def __init__(self, train: Sequence[Sample], config: TrainingConfig, limits: DataLimits) -> None:
        self._config = config
        self.shots = _draw_shots(train, config)
        self._picture_of = self._pictures(limits)
        self.not_held_out, self.held_out = (
            (self.shots, []) if config.evaluate == "none" else self._split(self.shots, HELD_OUT_SHARE)
        )

    @property
    def refits(self) -> bool:
        """Whether a second training takes all of `shots`."""
        return self._config.evaluate == "refit" and bool(self.held_out)

    def with_validation(self, samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
        """The samples to train on, and those that early stopping validates on; the latter are none without it."""
        if not self._config.patience_epochs:
            return list(samples), []
        return self._split(samples, VALIDATION_SHARE)

    def _pictures(self, limits: DataLimits) -> dict[str, str]:
        """Content hash to the one that stands for all copies of the picture; empty where nothing is split."""
        if self._config.evaluate == "none" and not self._config.patience_epochs:
            return {}
        contents = [sample.content() for sample in self.shots]
        return dict(zip(contents, representatives(self.shots, limits), strict=True))

    def _split(self, samples: Sequence[Sample], share: float) -> tuple[list[Sample], list[Sample]]:
        contents = [self._picture_of[sample.content()] for sample in samples]
        kept, aside = stratified_split([sample.label for sample in samples], contents, share)
        return [samples[place] for place in kept], [samples[place] for place in aside]


def _draw_shots(samples: Sequence[Sample], config: TrainingConfig) -> list[Sample]:
    if not config.shots:
        return list(samples)
    return [samples[place] for place in draw_shots([one.label for one in samples], config.shots, config.seed)]
