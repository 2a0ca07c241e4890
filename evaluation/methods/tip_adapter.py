"""Tip-Adapter (arXiv 2111.03930): a cache of the shots whose answers are added to the zero-shot logits.

The logits of an image with the unit embedding f are alpha exp(-beta (1 - f K^T)) V + f W^T: K, (N, embed_dim), are the
embeddings of the N shots, V, (N, classes), their labels as ones and zeros, and W the zero-shot classifier. Nothing is
trained. The cache knows the labels of its shots and no others, so labels that are not among them cannot be named.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.loading import Batch, Images
from evaluation.methods.descent import descend, embeddings, of_embeddings
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Scorer, prompted
from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import class_weights
from saft_core.templates import Template
from saft_core.tuning.precision import passes

ALPHA, BETA = 1.0, 5.5
"""The best of the paper's ablation on ImageNet."""
ALPHAS = tuple(0.1 + step * 2.9 / 20 for step in range(20))
BETAS = tuple(0.1 + step * 6.9 / 20 for step in range(20))
"""What held images choose among: the ranges of the authors' code, beta in a tenth of its steps."""
VIEWS = 10
"""Augmented views of each shot, whose mean is its key."""


@dataclass(frozen=True, eq=False)
class Cache:
    """keys: unit embeddings of the shots, (N, embed_dim). values: 1.0 where a shot has the class, (N, classes)."""

    keys: Tensor
    values: Tensor

    def logits(self, images: Tensor, beta: float) -> Tensor:
        """Its answers, (n, classes), to unit embeddings (n, embed_dim); beta: how fast a shot's say fades away."""
        return (-beta * (1 - images @ self.keys.T)).exp() @ self.values


class TipFit(Fitted):
    """A cache beside the zero-shot classifier. alpha: how much the cache counts; at 0 this is zero-shot."""

    def __init__(
        self, base: Base, labels: tuple[str, ...], cache: Cache, alpha: float, beta: float, trainable: int = 0
    ) -> None:
        self._base, self._labels, self._cache, self.trainable = base, labels, cache, trainable
        self.alpha, self.beta = alpha, beta

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer | None:
        """Any of the labels of the shots; None with others among them."""
        if not set(labels) <= set(self._labels):
            return None
        zero_shot = prompted(self._base, labels, template, sees_anew=False)
        columns = [self._labels.index(label) for label in labels]

        def score(batch: Batch) -> Tensor:
            return zero_shot(batch) + self.alpha * self._cache.logits(batch.frozen, self.beta)[:, columns]

        return score


class TipAdapter:
    """The cache as the shots give it. Held images choose alpha and beta; without any they are the paper's."""

    name = "Tip-Adapter"
    hyperparameters = Hyperparameters()

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """Encode the shots. Nothing else is done to them, so of `config` only augmentation and seed matter."""
        base.model.requires_grad_(False)
        cache = build(base, examples.images, len(examples.labels), config)
        with torch.no_grad():
            alpha, beta = chosen(cache, class_weights(base, examples.labels, examples.template), examples.held)
        return TipFit(base, examples.labels, cache, alpha, beta)


class TipAdapterF:
    """The paper's Tip-Adapter-F: the keys are where training starts, by the cross-entropy under its alpha and beta."""

    name = "Tip-Adapter-F"
    hyperparameters = Hyperparameters((3e-4, 1e-3, 3e-3), (1e-3, 3e-3, 1e-2), weight_decay=0.01, epochs=20)
    """The paper's rate, a higher one for the small base; AdamW's own weight decay, as the authors' code has it."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """Held images choose alpha and beta afterwards."""
        base.model.requires_grad_(False)
        built = build(base, examples.images, len(examples.labels), config)
        keys = nn.Parameter(built.keys.clone(), requires_grad=False)
        cache = Cache(keys, built.values)
        with torch.no_grad():
            weights = class_weights(base, examples.labels, examples.template)

        def scores(features: Tensor) -> Tensor:
            return features @ weights.T + ALPHA * cache.logits(features, BETA)

        loss = of_embeddings(base, examples.images, config, scores)
        descend(base, [keys], loss, len(examples.images), config)
        trained = Cache(keys.detach(), built.values)
        return TipFit(base, examples.labels, trained, *chosen(trained, weights, examples.held), trainable=keys.numel())


@torch.no_grad()
def build(base: Base, images: Images, classes: int, config: FitConfig) -> Cache:
    """Of whole images, or with augmentation of the mean of `VIEWS` views of each."""
    values = F.one_hot(images.targets, classes).float()
    if config.augment == "none":
        return Cache(images.frozen, values)
    embed = embeddings(base, images, config)
    with passes(base.device):
        keys = [
            torch.stack([embed(positions.tolist(), view).float() for view in range(VIEWS)]).mean(dim=0)
            for positions in torch.arange(len(images)).split(config.batch_size)
        ]
    return Cache(F.normalize(torch.cat(keys), dim=-1), values)


def chosen(cache: Cache, weights: Tensor, held: Images | None) -> tuple[float, float]:
    """Alpha and beta under which most of the held images are right, the first of several; the paper's without any."""
    if held is None or not len(held):
        return ALPHA, BETA
    zero_shot, targets = held.frozen @ weights.T, held.targets
    right = {
        (alpha, beta): int(((zero_shot + alpha * answers).argmax(dim=1) == targets).sum())
        for beta, answers in ((beta, cache.logits(held.frozen, beta)) for beta in BETAS)
        for alpha in ALPHAS
    }
    return max(right, key=right.__getitem__)
