"""CLIP-Adapter (arXiv 2110.04544): a small bottleneck behind the image tower, blended with what the tower says.

An image embedding f becomes r A(f) + (1 - r) f, normalised again, where A(f) = ReLU(f W1) W2
and r is the residual ratio. There are no biases, so A grows with f and it is the same whether f had unit length.
This is the paper's image adapter, the one its tables are of; the released code has a second ReLU behind W2, which the
equations have not. It acts on images alone, so it can be used with the prompts of any labels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.methods.descent import descend, of_embeddings
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Scorer
from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import class_weights
from saft_core.templates import Template

REDUCTION = 4
RATIO = 0.2


class Adapter:
    """The bottleneck. w1: (embed_dim, embed_dim / 4), w2: the other way round; drawn as nn.Linear draws its weights."""

    def __init__(self, base: Base, ratio: float, seed: int) -> None:
        self.ratio = ratio
        generator, width = torch.Generator().manual_seed(seed), base.embed_dim
        self.w1 = _drawn(width, width // REDUCTION, generator, base.device)
        self.w2 = _drawn(width // REDUCTION, width, generator, base.device)

    def __call__(self, images: Tensor) -> Tensor:
        """Unit embeddings, (n, embed_dim), from those of the base."""
        return F.normalize(self.ratio * ((images @ self.w1).relu() @ self.w2) + (1 - self.ratio) * images, dim=-1)


def _drawn(rows: int, columns: int, generator: torch.Generator, device: torch.device) -> nn.Parameter:
    values = (torch.rand(rows, columns, generator=generator) * 2 - 1) / math.sqrt(rows)
    return nn.Parameter(values.to(device), requires_grad=False)


class AdapterFit(Fitted):
    """The base's embeddings through `adapter`, as a zero-shot classifier."""

    def __init__(self, base: Base, adapter: Adapter) -> None:
        self._base, self._adapter = base, adapter
        self.trainable = adapter.w1.numel() + adapter.w2.numel()

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer:
        """Any labels."""
        weights = class_weights(self._base, labels, template)
        return lambda batch: self._adapter(batch.frozen) @ weights.T


class ClipAdapter:
    """The image adapter by the cross-entropy over the class prompts. ratio: how much of the new there is; 0 is none."""

    name = "CLIP-Adapter"
    hyperparameters = Hyperparameters((1e-5, 1e-4, 1e-3), (1e-3, 3e-3, 1e-2), epochs=20, stated=1e-5)
    """The paper's rate, which is for more epochs than others need; a higher one for the small base.

    The authors' code has 20 epochs; the paper chooses them anew for each data set.
    """

    def __init__(self, ratio: float = RATIO) -> None:
        self._ratio = ratio

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """Held images are not looked at: choosing the ratio by them would take several fits for each rate."""
        base.model.requires_grad_(False)
        adapter = Adapter(base, self._ratio, config.seed)
        with torch.no_grad():
            weights = class_weights(base, examples.labels, examples.template)
        loss = of_embeddings(base, examples.images, config, lambda features: adapter(features) @ weights.T)
        descend(base, [adapter.w1, adapter.w2], loss, len(examples.images), config)
        return AdapterFit(base, adapter)
