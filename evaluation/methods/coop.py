"""CoOp (arXiv 2109.01134): in place of the words before a class name, vectors that are learned, for all classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.methods.descent import descend, embeddings
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Scorer
from evaluation.methods.prompts import WEIGHT_DECAY, LearnedPrompts
from saft_core.clip.backbone import Base
from saft_core.templates import Template
from saft_core.tuning.precision import logits


class CoOpFit(Fitted):
    """The base with `context` (n, width) before any class name."""

    def __init__(self, base: Base, context: Tensor) -> None:
        self._base, self.context, self.trainable = base, context, context.numel()

    @torch.no_grad()
    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer:  # noqa: ARG002
        """Any labels, in the learned context instead of `template`."""
        texts = LearnedPrompts(self._base, labels).encode(self.context[None])[0]
        return lambda batch: logits(self._base.logit_scale, batch.frozen, texts)


class CoOp:
    """One context of 4 vectors for all classes, from "a photo of a", the class name at the end, learned by SGD.

    CoOp's own default are 16 random vectors. The protocols that the SAFT paper follows (base-to-new, cross-dataset,
    distribution shift: arXiv 2203.05557, section 4) give CoOp these 4, which generalise better; so does this class.
    Left out is their first epoch at a constant rate of 1e-5: all methods share one schedule.
    """

    name = "CoOp"
    hyperparameters = Hyperparameters((5e-4, 2e-3, 8e-3), (0.05, 0.2, 0.8), weight_decay=WEIGHT_DECAY, epochs=50)
    """The published rate; the small base, whose texts move less by a step, takes a hundred times as much.

    50 epochs are those on ImageNet; other data sets have 200 in its paper.
    """

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> CoOpFit:
        """Learn the context. Raises Unsuited and TrainingDiverged."""
        base.model.requires_grad_(False)
        prompts = LearnedPrompts(base, examples.labels)
        context = nn.Parameter(prompts.words)
        embed, targets = embeddings(base, examples.images, config), examples.images.targets

        def loss(positions: Sequence[int], step: int) -> Tensor:
            texts = prompts.encode(context[None])[0]
            return F.cross_entropy(logits(base.logit_scale, embed(positions, step), texts), targets[positions])

        descend(base, [context], loss, len(examples.images), config, sgd=True)
        return CoOpFit(base, context.detach())
