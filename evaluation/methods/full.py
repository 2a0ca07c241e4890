"""Full fine-tuning: every parameter of both encoders, by cross-entropy over the class prompts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from evaluation.methods.dense import DenseFit, fine_tune
from evaluation.methods.descent import seen
from evaluation.methods.method import Examples, FitConfig, Hyperparameters
from saft_core.clip.backbone import Base
from saft_core.tuning.class_prompts import ClassPrompts
from saft_core.tuning.precision import logits


class PromptLoss:
    """Cross-entropy of CLIP's own logits over the class prompts, mean over the batch: SAFT's loss, and so this one's.

    `descend` calls it for each step, and `backward` after each backward pass. Classes of uneven numbers of images are
    not weighed: the shots of the protocols are even.
    """

    def __init__(self, base: Base, examples: Examples, config: FitConfig) -> None:
        self._base, self._targets = base, examples.images.targets
        self._seen = seen(base, examples.images, config)
        self._prompts = ClassPrompts(base, examples.labels, examples.template)
        self._texts: Tensor | None = None

    def __call__(self, positions: Sequence[int], step: int) -> Tensor:
        """The loss, a scalar, of the images at these positions."""
        self._texts = self._prompts.encode()
        scores = logits(self._base.logit_scale, self._seen(positions, step), self._texts)
        return F.cross_entropy(scores, self._targets[positions])

    def backward(self) -> None:
        """Carry the gradient that the class embeddings collected on into the text encoder."""
        if self._texts is not None:
            self._prompts.backward(self._texts)


class FullFineTuning:
    """All D parameters, the logit scale included.

    On a real CLIP it has the rate of SAFT's paper, so that the mask is all that differs; on the embedded base, that
    which did best on held shots.
    """

    name = "full fine-tuning"
    hyperparameters = Hyperparameters((1.5e-6, 5e-6, 1.5e-5), (3e-5, 1e-4, 3e-4))

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> DenseFit:
        """Train everything. Raises TrainingDiverged."""
        loss = PromptLoss(base, examples, config)
        return fine_tune(base, base.flat.slots, loss, len(examples.images), config, after_backward=loss.backward)
