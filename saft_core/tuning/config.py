"""The settings of a fine-tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

from saft_core.templates import Template, as_template
from saft_core.training_options import Augment, Encoders, Evaluate, Selection


class BatchOrder(Protocol):
    """The settings that decide which samples each step takes."""

    @property
    def epochs(self) -> int:
        """Passes over all samples."""

    @property
    def batch_size(self) -> int:
        """Samples of a step."""

    @property
    def seed(self) -> int:
        """Seed of the order of the samples."""


class Schedule(BatchOrder, Protocol):
    """The settings that the training loop needs, whatever the model is."""

    @property
    def learning_rate(self) -> float:
        """AdamW's peak learning rate; it falls to zero along a half cosine."""

    @property
    def weight_decay(self) -> float:
        """AdamW's weight decay."""

    @property
    def patience_epochs(self) -> int:
        """Epochs without a lower validation loss before training stops; 0 means no early stopping."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one fine-tune. Learning rate is AdamW's peak; it falls to zero along a half cosine.

    density:          share of the base's parameters that may change (alpha in the paper), 0 < density <= 1.
    encoders:         where entries may be selected: both towers (and the logit scale), or one of them.
    selection:        the selection strategy by its name in `strategies.py`.
    patience_epochs:  stop after so many epochs without a lower loss on a validation part of the training images, and
                      take the best values; 0 trains on all images to the end.
    evaluate:         hold a fifth of each class out and learn the strength on it, then train again on all images
                      ("refit") or store the first delta ("holdout"); or hold nothing out ("none").
    augment:          what a training step sees of each image: all of it, a random crop, or a random crop that is
                      mirrored half the time (`augment.py`).
    shots:            images of each class that are used at most, drawn by the seed; 0 uses all.
    """

    density: float
    learning_rate: float
    epochs: int
    batch_size: int
    weight_decay: float
    template: Template
    encoders: Encoders
    seed: int
    selection: Selection = "mean_gradient"
    patience_epochs: int = 0
    evaluate: Evaluate = "refit"
    augment: Augment = "none"
    shots: int = 0

    @classmethod
    def read(cls, settings: dict[str, Any]) -> Self:
        """Read from the JSON of a job. Raises TypeError for a setting that is unknown or missing."""
        return cls(**settings | {"template": as_template(settings["template"])})
