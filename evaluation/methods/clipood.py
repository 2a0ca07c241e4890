"""CLIPood (arXiv 2302.00864): margins between classes that grow with their distance, and an average over the way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional as F

from evaluation.methods.dense import DenseFit, fine_tune, image_slots
from evaluation.methods.descent import seen
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters
from saft_core.clip.backbone import Base
from saft_core.tuning.class_prompts import ClassPrompts
from saft_core.tuning.costs import steps_per_epoch

MARGIN = 0.3
"""Lambda in the authors' scripts for shifted domains, and for new classes (0.1 where both are at once)."""
CONCENTRATION = 0.5
"""Beta in the same scripts for shifted domains (0.1 for new classes)."""


class Clipood:
    """The image tower alone; the temperature is CLIP's own, and the text tower stays as it is."""

    name = "CLIPood"
    hyperparameters = Hyperparameters((3e-6, 5e-6, 1e-5), (1e-4, 3e-4, 1e-3), weight_decay=0.1)
    """The authors' scripts take one of these three; those of the small base are around the best on held shots."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """Held images are not looked at."""
        sees, targets = seen(base, examples.images, config), examples.images.targets
        with torch.no_grad():
            texts, scale = ClassPrompts(base, examples.labels, examples.template).encode(), base.logit_scale

        def loss(positions: Sequence[int], step: int) -> Tensor:
            return margin_metric_softmax(sees(positions, step), texts, targets[positions], scale, MARGIN)

        steps = config.epochs * steps_per_epoch(len(examples.images), config.batch_size)
        average = BetaAverage(base.flat.buffer, steps)
        last = fine_tune(
            base, image_slots(base), loss, len(examples.images), config,
            after_step=lambda step, _: average.take(base.flat.buffer, step),
        )  # fmt: skip
        return DenseFit(base, average.values, last.trainable)


def margin_metric_softmax(images: Tensor, texts: Tensor, targets: Tensor, scale: Tensor, margin: float) -> Tensor:
    """The paper's loss, a scalar: the mean over n images of a cross-entropy with a margin for each wrong class.

    images: (n, embed_dim), texts: (classes, embed_dim), unit. targets: (n,). scale: the inverse temperature.
    The margin of a class is `margin` times its distance to the true one, one minus the cosine of their texts.
    In float32 or better.
    """
    dtype = torch.promote_types(images.dtype, torch.float32)
    with torch.autocast(images.device.type, enabled=False):
        images, texts = images.to(dtype), texts.to(dtype)
        margins = margin * (1 - texts[targets] @ texts.T)
        return F.cross_entropy(scale.to(dtype) * (images @ texts.T + margins), targets)


class BetaAverage:
    """The mean of the parameters after each of T steps and before the first, as `values`, (D,).

    Those after t steps weigh as much as the density of Beta(0.5, 0.5) at (t + 0.5) / (T + 1): the beginning, which is
    the base, and the end weigh most.
    """

    def __init__(self, start: Tensor, steps: int) -> None:
        concentration = torch.tensor(CONCENTRATION, dtype=torch.float64)
        self._distribution, self._steps = Beta(concentration, concentration), steps
        self.values = start.clone()
        self._total = self._weight(0)

    @torch.no_grad()
    def take(self, values: Tensor, step: int) -> None:
        """Take in the parameters, (D,), after `step` steps."""
        weight = self._weight(step)
        self._total += weight
        self.values.lerp_(values, weight / self._total)

    def _weight(self, step: int) -> float:
        at = torch.tensor((step + 0.5) / (self._steps + 1), dtype=torch.float64)
        return float(self._distribution.log_prob(at).exp())
