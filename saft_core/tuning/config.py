"""What one training is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Encoders = Literal["both", "image", "text"]


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one fine-tune. Learning rate is AdamW's peak; it falls to zero along a half cosine.

    density:       share of the base's parameters that may change (alpha in the paper), 0 < density <= 1.
    encoders:      where entries may be selected: both towers (and the logit scale), or one of them.
    """

    density: float
    learning_rate: float
    epochs: int
    batch_size: int
    weight_decay: float
    template: str
    encoders: Encoders
    seed: int
