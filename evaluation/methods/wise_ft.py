"""WiSE-FT (arXiv 2109.01903): the weights between the base and the base fully fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from evaluation.methods.dense import DenseFit
from evaluation.methods.full import FullFineTuning
from evaluation.methods.method import Examples, FitConfig
from saft_core.clip.backbone import Base


@dataclass(frozen=True)
class WiseFt:
    """(1 - alpha) theta_0 + alpha theta_1 of all parameters; both encoders are fine-tuned, so the head is among them.

    alpha: the mixing coefficient, 0.5 where the paper has nothing to choose it by.
    """

    alpha: float = 0.5

    @property
    def name(self) -> str:
        """With alpha where it is another than the paper's."""
        return "WiSE-FT" if self.alpha == 0.5 else f"WiSE-FT ({self.alpha:g})"

    hyperparameters = FullFineTuning.hyperparameters
    """So that one training serves both; the paper's own rate of 3e-5 is for batches of 512."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> DenseFit:
        """Fine-tune all, then interpolate. Raises TrainingDiverged.

        Where the full fine-tuning of the same run is at hand, `between` takes it instead.
        """
        return self.between(base, FullFineTuning().fit(base, examples, config))

    def between(self, base: Base, full: DenseFit) -> DenseFit:
        """Between the base and a `full` fine-tuning of it: at alpha 0 and 1 the one and the other bit by bit.

        Entries that fine-tuning left as they were stay so at any alpha.
        """
        start, end = base.flat.buffer, full.values
        values = {0.0: start, 1.0: end}.get(self.alpha)
        return DenseFit(base, torch.lerp(start, end, self.alpha) if values is None else values.clone(), full.trainable)
