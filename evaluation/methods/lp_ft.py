"""LP-FT (arXiv 2202.10054): the linear probe first, then the image encoder and that head together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.methods.dense import DenseFit, fine_tune, image_slots
from evaluation.methods.descent import seen
from evaluation.methods.linear_probe import Head, probed
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Scorer
from saft_core.clip.backbone import Base
from saft_core.templates import Template


class HeadFit(Fitted):
    """The base with other parameters, and a head instead of prompts."""

    def __init__(self, dense: DenseFit, base: Base, head: Head) -> None:
        self.dense, self.head, self.trainable = dense, head, dense.trainable + len(head)
        self._base = base

    def active(self) -> AbstractContextManager[None]:
        """The base with these parameters within the context."""
        return self.dense.active()

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer | None:  # noqa: ARG002
        """Of labels that were trained; None when there is another among them."""
        head = self.head.among(labels)
        return None if head is None else lambda batch: head.scores(self._base.encode_pixels(batch.pixels))


class LpFt:
    """The head is a linear layer with biases on CLIP's unit image embeddings, `linear_probe.py`'s.

    The text encoder and the logit scale have no part in it, in either stage: prompts and class names are not used, so a
    new class cannot be named. That is the paper's own way with CLIP: its image encoder alone, with a new layer on top.
    """

    name = "LP-FT"
    hyperparameters = Hyperparameters((3e-6, 1e-5, 3e-5), (3e-5, 1e-4, 3e-4))
    """The paper searches rates of SGD for whole data sets; 1e-5 is what FLYP (arXiv 2212.00638) has for CLIP."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> HeadFit:
        """Both stages, the second by AdamW down the half cosine of all methods. Raises TrainingDiverged."""
        head = probed(examples.images, examples.labels, examples.held)
        weight, bias = nn.Parameter(head.weight), nn.Parameter(head.bias)
        embeddings, targets = seen(base, examples.images, config), examples.images.targets

        def loss(positions: Sequence[int], step: int) -> Tensor:
            scores = Head(examples.labels, weight, bias).scores(embeddings(positions, step))
            return F.cross_entropy(scores, targets[positions])

        dense = fine_tune(base, image_slots(base), loss, len(examples.images), config, head=(weight, bias))
        return HeadFit(dense, base, Head(examples.labels, weight.detach(), bias.detach()))
