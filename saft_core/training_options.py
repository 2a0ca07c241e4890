"""The named options of a fine-tune and the settings that a base recommends: what the API, `clip` and `tuning` all know.

A new selection strategy gets its name in `Selection` here and its function in `saft_core/tuning/strategies.py`.
A new augmentation gets its name in `Augment` here and its transform in `random_view` (`augment.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Selection = Literal["mean_gradient", "fisher", "random", "smallest_magnitude"]
"""How the trained entries are chosen."""
Encoders = Literal["both", "image", "text"]
"""In which towers entries may be chosen."""
Augment = Literal["none", "crop", "crop_flip"]
"""What a training step sees of each image: all of it, a random crop, or a crop that is mirrored half the time."""
Evaluate = Literal["refit", "holdout", "none"]
"""Whether a fifth of each class is held out to evaluate on, and whether a second training then takes all images."""


@dataclass(frozen=True)
class TrainingDefaults:
    """The training settings of a base where the caller names none.

    The values here are those of the SAFT paper (arXiv 2407.03036); the model card of a base may recommend others.
    """

    density: float = 0.001
    learning_rate: float = 5e-6
    epochs: int = 20
    batch_size: int = 32
    weight_decay: float = 0.1
    template: str = "a photo of a {}."
    encoders: Encoders = "both"
