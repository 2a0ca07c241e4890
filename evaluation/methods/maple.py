"""MaPLe (arXiv 2210.03117): prompts in the first blocks of both towers, those of images made of those of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.methods.descent import descend
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Scorer, Unsuited
from evaluation.methods.prompts import WEIGHT_DECAY, LearnedPrompts, count
from saft_core.clip.backbone import Base
from saft_core.templates import Template
from saft_core.tuning.precision import logits

DEPTH = 9
LENGTH = 2
_SPREAD = 0.02
"""Standard deviation that prompts of deeper blocks start with."""


class CoupledPrompts(nn.Module):
    """Prompts for the first `depth` blocks: of texts, (n, text width) each, and linear maps to those of images.

    The first starts at `words` (n, text width), all else at random by `seed`.
    """

    def __init__(self, words: Tensor, image_width: int, depth: int, seed: int) -> None:
        super().__init__()
        width = words.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            deeper = [_SPREAD * torch.randn(words.shape).to(words) for _ in range(depth - 1)]
            self.texts = nn.ParameterList([words, *deeper])
            self.couplings = nn.ModuleList(nn.Linear(width, image_width) for _ in range(depth)).to(words.device)

    @property
    def images(self) -> list[Tensor]:
        """The prompts of images, (n, image width) each."""
        return [coupling(prompt) for coupling, prompt in zip(self.couplings, self.texts, strict=True)]


class MaPLeFit(Fitted):
    """The base with learned prompts in both of its towers."""

    def __init__(self, base: Base, learned: CoupledPrompts) -> None:
        self._base, self.learned, self.trainable = base, learned, count(learned)

    @torch.no_grad()
    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer:  # noqa: ARG002
        """Any labels, in the learned context instead of `template`; images pass through the prompted tower."""
        base, learned = self._base, self.learned
        texts = _of_texts(LearnedPrompts(base, labels, LENGTH), learned)
        prompts, scale = learned.images, base.logit_scale
        return lambda batch: logits(scale, encode_pixels(_image_tower(base), batch.pixels, prompts), texts)


class MaPLe:
    """Two vectors before "of a" and the class name, and two at the end of an image's tokens, in 9 blocks; by SGD.

    A tower with fewer blocks has prompts in all of them. Left out is the first epoch at a constant rate of 1e-5: all
    methods share one schedule.
    """

    name = "MaPLe"
    hyperparameters = Hyperparameters((1e-3, 3.5e-3, 1e-2), (1e-3, 3.5e-3, 1e-2), weight_decay=WEIGHT_DECAY, epochs=5)
    """The published rate of base-to-new."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> MaPLeFit:
        """Learn the prompts and their couplings. Raises TrainingDiverged, and Unsuited without a ViT of open_clip's."""
        tower = _image_tower(base)
        base.model.requires_grad_(False)
        prompts = LearnedPrompts(base, examples.labels, LENGTH)
        learned = _start(tower, prompts, config.seed)
        targets = examples.images.targets

        def loss(positions: Sequence[int], step: int) -> Tensor:
            pixels = examples.images.views(positions, config.augment, (config.seed, step))
            seen = encode_pixels(tower, pixels, learned.images)
            return F.cross_entropy(logits(base.logit_scale, seen, _of_texts(prompts, learned)), targets[positions])

        descend(base, learned.parameters(), loss, len(examples.images), config, sgd=True)
        return MaPLeFit(base, learned)


def encode_pixels(tower: Any, pixels: Tensor, prompts: Sequence[Tensor]) -> Tensor:
    """Unit embeddings (N, embed_dim) of `pixels` (N, 3, size, size) with `prompts`, (n, width) for each first block.

    They stand behind an image's own tokens and are not pooled; what one block makes of them the next does not see.
    """
    own = tower._embeds(pixels)
    length = own.shape[1]
    prompt = tower.ln_pre(prompts[0])
    x = own
    for number, block in enumerate(tower.transformer.resblocks):
        if number < len(prompts):
            prompt = prompts[number] if number else prompt
            x = torch.cat([x[:, :length], prompt.to(x.dtype).expand(len(x), -1, -1)], dim=1)
        x = block(x)
    pooled, _ = tower._pool(x[:, :length])
    return F.normalize(pooled if tower.proj is None else pooled @ tower.proj, dim=-1)


def _of_texts(prompts: LearnedPrompts, learned: CoupledPrompts) -> Tensor:
    """Unit embeddings (classes, embed_dim)."""
    first, *deeper = learned.texts
    return prompts.encode(first[None], deeper)[0]


def _start(tower: Any, prompts: LearnedPrompts, seed: int) -> CoupledPrompts:
    """What is learned, before it is."""
    depth = min(DEPTH, prompts.blocks, len(tower.transformer.resblocks))
    return CoupledPrompts(prompts.words, tower.conv1.out_channels, depth, seed)


def _image_tower(base: Base) -> Any:
    visual: Any = base.model.visual
    if not isinstance(visual, VisionTransformer):
        raise Unsuited(f"its image tower is a {type(visual).__name__}, no vision transformer of open_clip's to prompt")
    return visual
