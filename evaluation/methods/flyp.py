"""FLYP, "Finetune like you pretrain" (arXiv 2212.00638): the contrastive loss of the pre-training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from open_clip.loss import ClipLoss
from torch import Tensor

from evaluation.methods.dense import fine_tune
from evaluation.methods.descent import seen
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters
from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import fill
from saft_core.templates import Template, each


class Flyp:
    """All parameters of both towers and the logit scale, by CLIP's loss between images and prompts of their classes.

    Two images of one class in a batch count as a wrong pair, as in the paper, whose ablation gains
    nothing by doing otherwise. Of an ensemble of templates each image draws one anew in each step.
    A base that was pre-trained with another loss (SigLIP) is trained with CLIP's all the same.
    """

    name = "FLYP"
    hyperparameters = Hyperparameters((3e-6, 1e-5, 3e-5), (3e-5, 1e-4, 3e-4), weight_decay=0.1)
    """Those of the paper's ImageNet run; the small base takes what full fine-tuning takes there."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """Held images are not looked at."""
        sees, targets = seen(base, examples.images, config), examples.images.targets
        encode = captions(base, examples.labels, examples.template, config.seed)

        def loss(positions: Sequence[int], step: int) -> Tensor:
            return contrastive(sees(positions, step), encode(targets[positions], step), base.logit_scale)

        return fine_tune(base, base.flat.slots, loss, len(examples.images), config)


def contrastive(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """CLIP's loss, a scalar, of n pairs of unit embeddings, each (n, embed_dim); in float32 or better."""
    dtype = torch.promote_types(images.dtype, torch.float32)
    with torch.autocast(images.device.type, enabled=False):
        loss: Tensor = ClipLoss()(images.to(dtype), texts.to(dtype), scale.to(dtype))
    return loss


def captions(base: Base, labels: tuple[str, ...], template: Template, seed: int) -> Callable[[Tensor, int], Tensor]:
    """From targets (n,) and the step to unit embeddings (n, embed_dim) of a prompt for each; equal ones once."""
    tokens, templates = base.tokens(fill(template, labels)), len(each(template))

    def encode(targets: Tensor, step: int) -> Tensor:
        drawn = np.random.default_rng((seed, step)).integers(templates, size=len(targets))
        prompts, places = torch.unique(torch.from_numpy(drawn).to(targets) * len(labels) + targets, return_inverse=True)
        return base.encode_tokens(tokens[prompts])[places]

    return encode
