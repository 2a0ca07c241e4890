"""The loss of selection and training: cross-entropy, in which classes of few images count as much as the others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
