"""SAFT as the paper writes it (arXiv 2407.03036, section 3.3 and its listing), plainly: the oracle.

One sample at a time for equation 2; a full sort for equation 3; a dense optimizer over all parameters with everything
outside the mask reset after each step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from saft_core.clip.backbone import Base
from saft_core.tuning.loaders import PixelLoader

Prompts = Sequence[Sequence[str]]
"""Of each template, one a class."""


def loss_of(
    base: Base, loader: PixelLoader, positions: Sequence[int], prompts: Prompts, shares: Sequence[float]
) -> Tensor:
    """Cross-entropy of CLIP's own logits over the class prompts, mean over the samples.

    Of several templates, each class has the mean of its prompts' embeddings, normalised, as CLIP's notebooks have it.
    shares: of each class among all samples (arXiv 2007.07314, equation 10). Of even classes, as the paper has them,
    they add the same to all logits: nothing to their softmax.
    """
    pixels, targets = loader.batch(positions)
    images = base.model.encode_image(pixels, normalize=True)  # type: ignore[operator]
    each = [base.model.encode_text(base.tokenize(list(one)).to(base.device), normalize=True) for one in prompts]  # type: ignore[operator]
    texts = each[0] if len(each) == 1 else nn.functional.normalize(torch.stack(each).mean(dim=0), dim=1)
    scores = base.model.logit_scale.exp() * images @ texts.T  # type: ignore[operator]
    return nn.functional.cross_entropy(scores + torch.tensor(shares, device=scores.device).log(), targets)


def paper_mean_gradient(
    base: Base, loader: PixelLoader, prompts: Prompts, shares: Sequence[float] | None = None
) -> Tensor:
    """Equation 2, sample by sample: (D,)."""
    shares = shares or [1.0] * len(prompts[0])
    parameters = list(base.model.parameters())
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for position in range(len(loader)):
        loss = loss_of(base, loader, [position], prompts, shares)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        total = [t if g is None else t + g / len(loader) for t, g in zip(total, gradients, strict=True)]
    return torch.cat([part.reshape(-1) for part in total])


def paper_mask(mean_gradient: Tensor, density: float) -> Tensor:
    """Equation 3: bool (D,), the floor(density * D) largest magnitudes, but no zeros: those are not selected."""
    order = torch.argsort(mean_gradient.abs(), descending=True, stable=True)
    mask = torch.zeros(len(mean_gradient), dtype=torch.bool, device=mean_gradient.device)
    mask[order[: math.floor(density * len(mean_gradient))]] = True
    return mask & (mean_gradient != 0)


def paper_training(
    base: Base,
    loader: PixelLoader,
    prompts: Prompts,
    mask: Tensor,
    batches: Iterable[Sequence[int]],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    shares: Sequence[float] | None = None,
) -> Tensor:
    """Dense AdamW with a cosine schedule, unselected entries reset after each step; returns all parameters, (D,)."""
    shares = shares or [1.0] * len(prompts[0])
    parameters = list(base.model.parameters())
    start = [parameter.detach().clone() for parameter in parameters]
    masks = [m.view_as(p) for m, p in zip(mask.split([p.numel() for p in parameters]), parameters, strict=True)]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, foreach=False)
    for number, positions in enumerate(batches):
        optimizer.param_groups[0]["lr"] = 0.5 * learning_rate * (1 + math.cos(math.pi * number / steps))
        optimizer.zero_grad()
        loss_of(base, loader, positions, prompts, shares).backward()
        optimizer.step()
        with torch.no_grad():
            for parameter, initial, chosen in zip(parameters, start, masks, strict=True):
                parameter.copy_(torch.where(chosen, parameter, initial))
    result = torch.cat([parameter.detach().reshape(-1) for parameter in parameters]).clone()
    with torch.no_grad():
        for parameter, initial in zip(parameters, start, strict=True):
            parameter.copy_(initial)
    return result
