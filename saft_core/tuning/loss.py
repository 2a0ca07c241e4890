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
from saft_core.tuning.augment import random_view
from saft_core.tuning.class_prompts import ClassPrompts
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.memory import images_per_pass
from saft_core.tuning.objective import Passed, parts
from saft_core.tuning.precision import logits, passes


class ClassPromptLoss:
    """The objective (`objective.py`) of labelled images and their class prompts.

    Embeddings that no trained entry changes are cached, so one object serves one selection or one training only.
    Where classes have different numbers of images their logits are adjusted, so that each class weighs the same.
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
        """The loss of a uniform guess."""
        return math.log(max(2, len(self._labels)))

    def backward(self, positions: Sequence[int], *, step: int | None = None, passed: Passed | None = None) -> float:
        """The mean loss of the images at `positions`; its gradient is added to that of the parameters.

        The prompts are encoded once, and their gradient, summed over all images, is backpropagated once.
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
        """The mean loss of other images of the same classes, without augmentation and without gradients."""
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
        """To be read where the parameters that need a gradient are set: a forward pass keeps activations for those."""
        return min(self._config.batch_size, images_per_pass(self._base, self._loader.batch([0])[0]))

    def _backward_part(self, positions: list[int], of: int, texts: Tensor, step: int | None) -> float:
        """The part of the images at `positions` in the mean over a batch of `of` images; its gradient is added."""
        images, targets = self._encode(positions, step)
        scores = logits(self._base.logit_scale, images, texts)
        loss = cross_entropy(scores, targets, self._priors) / of
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())

    def _encode(self, positions: list[int], step: int | None) -> tuple[Tensor, Tensor]:
        """Unit embeddings (N, embed_dim) and targets. Embeddings that cannot change are cached."""
        if all(position in self._images for position in positions):
            known = torch.stack([self._images[position] for position in positions])
            return known, self._loader.targets(positions).to(known.device)
        pixels, targets = self._pixels(positions, step)
        features = self._base.encode_pixels(pixels)
        if not features.requires_grad and self._config.augment == "none":
            self._images.update(zip(positions, features, strict=True))
        return features, targets

    def _pixels(self, positions: list[int], step: int | None) -> tuple[Tensor, Tensor]:
        """The augmented images at `positions`, drawn from seed, step and position: a resumed step draws the same."""
        augment, seed, side = self._config.augment, self._config.seed, self._base.image_side
        if augment == "none" or step is None:
            return self._loader.batch(positions)
        return self._loader.views(positions, lambda image, at: random_view(image, side, augment, (seed, step, at)))


def log_priors(targets: Tensor, classes: int) -> Tensor | None:
    """The logarithm of each class's share of the images, float32 (classes,); None where all classes have equal shares.

    targets: class positions of all images, int64 (N,). A class without images counts as one with a single image.
    """
    counts = torch.bincount(targets, minlength=classes)
    if counts[counts > 0].unique().numel() < 2:
        return None
    return (counts.clamp(min=1) / len(targets)).log()


def cross_entropy(scores: Tensor, targets: Tensor, priors: Tensor | None) -> Tensor:
    """The cross-entropy summed over N images, of logits (N, classes) and class positions (N,).

    priors: added to the logits (logit adjustment, Menon et al., arXiv 2007.07314, equation 10), so that the model
    learns to predict as if all classes had equally many images. None as in the SAFT paper, whose shots are even.
    """
    adjusted = scores if priors is None else scores + priors.to(scores)
    return F.cross_entropy(adjusted, targets, reduction="sum")
