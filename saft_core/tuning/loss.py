"""CLIP's loss: cross-entropy over class prompts, in which classes of few images count as much as the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from saft_core.clip.backbone import Base
from saft_core.clip.flat import FlatParameters
from saft_core.data.augment import random_view
from saft_core.data.loaders import PixelLoader
from saft_core.tuning.class_prompts import ClassPrompts
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.memory import images_per_pass
from saft_core.tuning.objective import Passed, parts
from saft_core.tuning.precision import logits, passes


class ClassPromptLoss:
    """The objective of a task's images and classes (`objective.py`): its samples are the images.

    What cannot change is encoded once, so that one of these is for the parameters that one selection or one training
    may move, and not for another's.
    Where classes have unlike numbers of images their logits are adjusted, so that each counts the same.
    """

    def __init__(self, base: Base, loader: PixelLoader, labels: Sequence[str], config: TrainingConfig) -> None:
        self._base, self._loader, self._labels, self._config = base, loader, labels, config
        self._priors = log_priors(loader.targets(range(len(loader))), len(labels))
        self._images: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._loader)

    @property
    def flat(self) -> FlatParameters:
        """The parameters of both towers."""
        return self._base.flat

    @property
    def chance(self) -> float:
        """The loss of who knows nothing of the classes."""
        return math.log(max(2, len(self._labels)))

    def backward(self, positions: Sequence[int], *, step: int | None = None, passed: Passed | None = None) -> float:
        """The loss over the class prompts, mean over the images; its gradient is added to the parameters'.

        The prompts are encoded once, and once is their gradient carried back: it adds up over the images before.
        """
        total = 0.0
        with passes(self._base.device):
            texts = self._prompts.encode()
            for part in self._parts(positions):
                total += self._backward_part(part, len(positions), texts, step)
                if passed is not None:
                    passed(len(part))
            self._prompts.backward(texts)
        return total

    @torch.no_grad()
    def mean_loss(self, loader: PixelLoader) -> float:
        """Of other images of the same classes, as they are, by the weights as they are."""
        total, count, size = 0.0, len(loader), self._config.batch_size
        with passes(self._base.device):
            texts = self._prompts.encode()
            for start in range(0, count, size):
                pixels, targets = loader.batch(range(start, min(start + size, count)))
                scores = logits(self._base.logit_scale, self._base.encode_pixels(pixels), texts)
                total += float(cross_entropy(scores, targets, self._priors))
        return total / count

    @cached_property
    def _prompts(self) -> ClassPrompts:
        return ClassPrompts(self._base, self._labels, self._config.template)

    def _parts(self, positions: Sequence[int]) -> list[list[int]]:
        return [list(positions)] if len(positions) == 1 else parts(positions, self._images_per_pass)

    @cached_property
    def _images_per_pass(self) -> int:
        """Asked for where it is known which parameters need a gradient: what a forward keeps depends on them."""
        return min(self._config.batch_size, images_per_pass(self._base, self._loader.batch([0])[0]))

    def _backward_part(self, positions: list[int], of: int, texts: Tensor, step: int | None) -> float:
        """What the images at `positions` add to the mean over a batch of `of`, and to its gradient."""
        images, targets = self._encode(positions, step)
        scores = logits(self._base.logit_scale, images, texts)
        loss = cross_entropy(scores, targets, self._priors) / of
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())

    def _encode(self, positions: list[int], step: int | None) -> tuple[Tensor, Tensor]:
        """Unit embeddings (N, embed_dim) and targets. Where nothing under them can change, each is computed once."""
        if all(position in self._images for position in positions):
            known = torch.stack([self._images[position] for position in positions])
            return known, self._loader.targets(positions).to(known.device)
        pixels, targets = self._pixels(positions, step)
        features = self._base.encode_pixels(pixels)
        if not features.requires_grad and self._config.augment == "none":
            self._images.update(zip(positions, features, strict=True))
        return features, targets

    def _pixels(self, positions: list[int], step: int | None) -> tuple[Tensor, Tensor]:
        """What this step sees of the images at `positions`, whichever process takes the step."""
        augment, seed, side = self._config.augment, self._config.seed, self._base.image_side
        if augment == "none" or step is None:
            return self._loader.batch(positions)
        return self._loader.views(positions, lambda image, at: random_view(image, side, augment, (seed, step, at)))


def log_priors(targets: Tensor, classes: int) -> Tensor | None:
    """The logarithm of each class's share of the images, float32 (classes,); None where they all have the same.

    targets: class positions of all images, int64 (N,). A class without images has the share of one.
    """
    counts = torch.bincount(targets, minlength=classes)
    if counts[counts > 0].unique().numel() < 2:
        return None
    return (counts.clamp(min=1) / len(targets)).log()


def cross_entropy(scores: Tensor, targets: Tensor, priors: Tensor | None) -> Tensor:
    """Summed over N images, from logits (N, classes) and class positions (N,).

    With `priors` the logits are adjusted by them (Menon et al., arXiv 2007.07314, equation 10): how many images a class
    has is then told by the priors, and the model itself learns to answer as if all classes had as many. Without, as in
    the paper, whose shots are even.
    """
    adjusted = scores if priors is None else scores + priors.to(scores)
    return F.cross_entropy(adjusted, targets, reduction="sum")
