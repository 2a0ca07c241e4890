"""CoCoOp (arXiv 2203.05557): CoOp whose context a small network shifts by what is in the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.methods.descent import descend, embeddings
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Scorer
from evaluation.methods.prompts import WEIGHT_DECAY, LearnedPrompts, count
from saft_core.clip.backbone import Base
from saft_core.templates import Template

REDUCTION = 16
"""How many times narrower than an embedding the meta-net's hidden layer is."""


class ConditionalContext(nn.Module):
    """The context of an image: learned vectors `context` (n, width), each plus what the meta-net makes of the image.

    It starts at `words` (n, width), and the meta-net at random by `seed`.
    """

    def __init__(self, words: Tensor, embed_dim: int, seed: int) -> None:
        super().__init__()
        hidden = max(1, embed_dim // REDUCTION)
        self.context = nn.Parameter(words)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.meta_net = nn.Sequential(
                nn.Linear(embed_dim, hidden), nn.ReLU(), nn.Linear(hidden, words.shape[1])
            ).to(words.device)

    def forward(self, images: Tensor) -> Tensor:
        """Contexts (N, n, width) of unit embeddings (N, embed_dim)."""
        return self.context + self.meta_net(images)[:, None]  # type: ignore[no-any-return]


class CoCoOpFit(Fitted):
    """The base with a context of each image before any class name."""

    def __init__(self, base: Base, learned: ConditionalContext) -> None:
        self._base, self.learned, self.trainable = base, learned, count(learned)

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer:  # noqa: ARG002
        """Any labels, in the learned contexts instead of `template`; each image reads all prompts anew."""
        prompts = LearnedPrompts(self._base, labels)
        return lambda batch: _logits(self._base, self.learned, prompts, batch.frozen)


class CoCoOp:
    """Four vectors from "a photo of a" and a meta-net of two layers, learned by SGD.

    The paper takes one image a step; this follows `config.batch_size`, with each image's prompts in passes of bounded
    memory. Left out is the first epoch at a constant rate of 1e-5: all methods share one schedule.
    """

    name = "CoCoOp"
    hyperparameters = Hyperparameters((5e-4, 2e-3, 8e-3), (0.2, 0.8, 3.2), weight_decay=WEIGHT_DECAY, epochs=10)
    """The published rate; the small base, whose texts move less by a step, takes four hundred times as much."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> CoCoOpFit:
        """Learn the context and the meta-net. Raises Unsuited and TrainingDiverged."""
        base.model.requires_grad_(False)
        prompts = LearnedPrompts(base, examples.labels)
        learned = ConditionalContext(prompts.words, base.embed_dim, config.seed)
        embed, targets = embeddings(base, examples.images, config), examples.images.targets

        def loss(positions: Sequence[int], step: int) -> Tensor:
            return F.cross_entropy(_logits(base, learned, prompts, embed(positions, step)), targets[positions])

        descend(base, learned.parameters(), loss, len(examples.images), config, sgd=True)
        return CoCoOpFit(base, learned)


def _logits(base: Base, learned: ConditionalContext, prompts: LearnedPrompts, images: Tensor) -> Tensor:
    """Class logits, float32 (N, classes), of unit embeddings (N, embed_dim), each in its own prompts."""
    texts = prompts.encode(learned(images))
    return base.logit_scale * (images[:, None] * texts).sum(dim=-1)
