"""LoRA in every attention, as CLIP-LoRA has it (arXiv 2405.18541; LoRA itself: arXiv 2106.09685).

Each query, key and value projection W of both towers becomes W + s B A of rank 2, where s is 1 / sqrt(2) as in the
authors' code, A is drawn as nn.Linear draws its weight, and B starts at zero, so that the start is the base. The
updates are written into the base's own weights while they are in use: a weight's gradient G gives s G A^T to B and
s B^T G to A, which is what autograd would. The paper's dropout on what A reads is left out: it is another one for each
token, so it cannot be written into a weight.

peft's layer for nn.MultiheadAttention is not used (0.21): it gives the packed `in_proj_weight` a single A that query,
key and value share, always adapts `out_proj` too, and in each forward pass replaces both weights and gets them back by
subtraction, so that the base would neither stay in its flat buffer nor bit-identical.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.loading import Images
from evaluation.methods.descent import descend, seen, trainable
from evaluation.methods.method import Examples, FitConfig, Fitted, Hyperparameters, Scorer, Unsuited, prompted
from saft_core.clip.backbone import Base
from saft_core.clip.flat import tower_of
from saft_core.templates import Template
from saft_core.tuning.class_prompts import ClassPrompts
from saft_core.tuning.precision import logits, passes

RANK = 2
SCALE = 1 / math.sqrt(RANK)

_PROJECTIONS = {"in_proj_weight": 3, "qkv.weight": 3, "kv.weight": 2} | {
    name + end: 1
    for name, end in [(name, end) for name in ("q_proj", "k_proj", "v_proj") for end in (".weight", "_weight")]
    + [(name, ".weight") for name in ("q", "k", "v", "query", "key", "value")]
}
"""How the weights of attention are called in torch, open_clip, timm and transformers, and how many lie in one."""


class Lora:
    """Rank 2 on query, key and value of every attention of both towers, with the cross-entropy over class prompts.

    The embedded base has attention in its text tower only, so that is where it is trained there.
    """

    name = "LoRA"
    hyperparameters = Hyperparameters((1e-4, 2e-4, 4e-4), (3e-3, 1e-2, 3e-2), weight_decay=0.01)
    """The paper's; a higher rate for the small base."""

    def fit(self, base: Base, examples: Examples, config: FitConfig) -> Fitted:
        """Held images are not looked at. Raises Unsuited for a base without attention."""
        base.model.requires_grad_(False)
        fitted = LoraFit(base, updates_of(base, config.seed))
        with merged(fitted.updates) as place, trainable([update.weight for update in fitted.updates]):
            _train(base, examples.images, ClassPrompts(base, examples.labels, examples.template), fitted, place, config)
        return fitted


@dataclass(frozen=True, eq=False)
class Update:
    """s B A on some rows of a weight: `up` is B, (rows, rank), `down` is A, (rank, columns)."""

    tower: Literal["image", "text", "neither"]
    weight: nn.Parameter
    rows: slice
    up: nn.Parameter
    down: nn.Parameter

    @property
    def target(self) -> Tensor:
        """The rows themselves, as they lie in the base."""
        return self.weight.detach()[self.rows]

    def product(self) -> Tensor:
        """What is added to the rows, of their shape."""
        return SCALE * self.up.detach() @ self.down.detach()

    def take_gradient(self) -> None:
        """Carry on the gradient that the weight has, if any, to both factors."""
        if self.weight.grad is not None:
            gradient = SCALE * self.weight.grad[self.rows]
            self.up.grad, self.down.grad = gradient @ self.down.detach().T, self.up.detach().T @ gradient


class LoraFit(Fitted):
    """The base with `updates`, as a zero-shot classifier; only they are kept."""

    def __init__(self, base: Base, updates: Sequence[Update]) -> None:
        self._base, self.updates = base, updates
        self.trainable = sum(factor.numel() for factor in self.factors)
        self.sees_anew = any(update.tower == "image" for update in updates)

    @property
    def factors(self) -> list[nn.Parameter]:
        """What is trained."""
        return [factor for update in self.updates for factor in (update.up, update.down)]

    @contextmanager
    def active(self) -> Iterator[None]:
        """The base with the updates merged into its weights."""
        with merged(self.updates):
            yield

    def scorer(self, labels: tuple[str, ...], template: Template) -> Scorer | None:
        """Any labels."""
        return prompted(self._base, labels, template, sees_anew=self.sees_anew)


def updates_of(base: Base, seed: int) -> list[Update]:
    """An update for each query, key and value projection, in the order of the model, zero as yet.

    Raises Unsuited when there is none.
    """
    generator = torch.Generator().manual_seed(seed)
    found = [
        Update(tower_of(name), weight, rows, *_factors(weight, rows, generator))
        for name, weight in base.model.named_parameters()
        for rows in projections(name, weight)
    ]
    if not found:
        raise Unsuited(f"{base.name} has no attention whose query, key and value could be adapted")
    return found


def projections(name: str, weight: Tensor) -> list[slice]:
    """The rows of each projection in this parameter. A captioning decoder's are none: no class score depends on it."""
    if weight.ndim != 2 or name.startswith("text_decoder."):
        return []
    count = next((count for end, count in _PROJECTIONS.items() if f".{name}".endswith(f".{end}")), 0)
    height = weight.shape[0] // max(1, count)
    return [slice(part * height, (part + 1) * height) for part in range(count)]


def _factors(weight: Tensor, rows: slice, generator: torch.Generator) -> tuple[nn.Parameter, nn.Parameter]:
    down = torch.rand(RANK, weight.shape[1], generator=generator, dtype=weight.dtype) * 2 - 1
    down = (down / math.sqrt(weight.shape[1])).to(weight.device)
    up = weight.new_zeros(rows.stop - rows.start, RANK)
    return nn.Parameter(up, requires_grad=False), nn.Parameter(down, requires_grad=False)


@contextmanager
def merged(updates: Sequence[Update]) -> Iterator[Callable[[], None]]:
    """Within the context the weights have their updates; bit-identical to before after it.

    Gives what writes them anew after the factors have changed.
    """
    originals = [update.target.clone() for update in updates]

    def place() -> None:
        for update, original in zip(updates, originals, strict=True):
            update.target.copy_(original + update.product())

    try:
        place()
        yield place
    finally:
        for update, original in zip(updates, originals, strict=True):
            update.target.copy_(original)


def _train(
    base: Base, images: Images, prompts: ClassPrompts, fitted: LoraFit, place: Callable[[], None], config: FitConfig
) -> None:
    """Descend on the factors; the weights that they change already collect gradients."""
    changes = fitted.sees_anew or config.augment != "none"
    sees = seen(base, images, config) if changes else lambda positions, _: images.frozen[positions]
    targets, texts = images.targets, torch.empty(0)

    def loss(positions: Sequence[int], step: int) -> Tensor:
        nonlocal texts
        place()
        texts = prompts.encode()
        return F.cross_entropy(logits(base.logit_scale, sees(positions, step), texts), targets[positions])

    def carry_on() -> None:
        with passes(base.device):
            prompts.backward(texts)
        for update in fitted.updates:
            update.take_gradient()
        base.model.zero_grad()

    descend(base, fitted.factors, loss, len(images), config, after_backward=carry_on)
