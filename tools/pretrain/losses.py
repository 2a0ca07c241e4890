"""The two losses: which picture goes with which sentence, and what kind of thing is it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def name_loss(logits: Tensor, also_true: Tensor) -> Tensor:
    """Symmetric contrastive loss in which a caption that happens to be true of another picture is no negative.

    `also_true[i, j]` says that the phrase of caption j is true of picture i.
    """
    target = torch.arange(len(logits), device=logits.device)
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    masked = logits.masked_fill(also_true & ~own, float("-inf"))
    return (F.cross_entropy(masked, target) + F.cross_entropy(masked.T, target)) / 2


def category_loss(logits: Tensor, target: Tensor, also_true: Tensor) -> Tensor:
    """Cross-entropy over all category words: one true word is the target, the other true ones are left out."""
    own = F.one_hot(target, logits.shape[1]).bool()
    return F.cross_entropy(logits.masked_fill(also_true & ~own, float("-inf")), target)
