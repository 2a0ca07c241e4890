"""What one training is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

from saft_core.templates import Template, as_template
from saft_core.training_options import Augment, Encoders, Evaluate, Selection


class Order(Protocol):
    """What decides which samples a step takes; see `TrainingConfig`."""

    @property
    def epochs(self) -> int:
        """How often every sample is seen."""

    @property
    def batch_size(self) -> int:
        """Samples of a step."""

    @property
    def seed(self) -> int:
        """What decides the order of the samples."""


class Schedule(Order, Protocol):
    """Of a training, what its loop has to know, whatever the model."""

    @property
    def learning_rate(self) -> float:
        """AdamW's peak."""

    @property
    def weight_decay(self) -> float:
        """AdamW's."""

    @property
    def patience_epochs(self) -> int:
        """Of early stopping; 0 does without."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one fine-tune. Learning rate is AdamW's peak; it falls to zero along a half cosine.

    density:          share of the base's parameters that may change (alpha in the paper), 0 < density <= 1.
    encoders:         where entries may be selected: both towers (and the logit scale), or one of them.
    selection:        what entries are ranked by: SAFT's mean gradient, or one of the paper's ablations.
    patience_epochs:  end after so many epochs without a lower loss on a validation part of the training images, and
                      keep the best values; 0 trains on all images to the end.
    evaluate:         hold a fifth of each class out and learn the strength on it, then train again on all images
                      ("refit") or leave it at that ("holdout"); or hold nothing out ("none").
    augment:          what a training step sees of each image: all of it, a random crop, or that mirrored at times.
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
        """From the JSON of a job. Raises TypeError for a setting that there is not, or that is missing."""
        return cls(**settings | {"template": as_template(settings["template"])})
