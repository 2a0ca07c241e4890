"""Drawings for a trunk that has seen photographs: its last stage and the projection learn them, the rest stays.

The pictures go once through the frozen stages, whose maps are kept; only what follows is trained. Photographs, plain
and as if painted or drawn, hold the new embeddings to the old ones of the plain ones (Hinton et al., 2015, with
cosines), and words may move a little towards their drawings: no photograph ever said where "button" lies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.pretrain.phrases import Phrases
from tools.pretrain.stages import Checkpoint

FROZEN_STAGES = 6


@dataclass(frozen=True)
class DrawingConfig:
    """How the last stage learns drawings.

    kinds: how often a drawing goes by what kind of thing it is instead of by a name. keep, word_keep: what it costs to
    move the embeddings of photographs, and the places of words of each origin: those that photographs have placed stay,
    while none ever said where "thumbs up" or "zodiac sign" lies. blend: how far the stage goes in the end from where it
    was to where the drawings took it (Wortsman et al., WiSE-FT, arXiv 2109.01903).
    """

    steps: int = 600
    batch_size: int = 256
    photographs: int = 96
    learning_rate: float = 1e-3
    trunk_rate: float = 2e-4
    word_rate: float = 2e-3
    scale: float = 20.0
    kinds: float = 0.45
    keep: float = 10.0
    word_keep: tuple[float, ...] = (24.0, 24.0, 24.0, 6.0, 6.0)
    blend: float = 0.8
    seed: int = 0


class Head(nn.Module):
    """The last stage, the pooling and the projection: maps float (N, 192, 5, 5) to unit embeddings (N, width)."""

    def __init__(self, trunk: nn.Module, projection: Tensor, centre: Tensor) -> None:
        super().__init__()
        self.stage = deepcopy(trunk.blocks[FROZEN_STAGES])  # type: ignore[index]
        self.conv_head, self.norm = deepcopy(trunk.conv_head), deepcopy(trunk.bn2)
        self.proj = nn.Linear(*projection.shape)
        self.proj.weight = nn.Parameter(projection.T.clone())
        self.proj.bias = nn.Parameter(-(centre @ projection))

    def features(self, maps: Tensor) -> Tensor:
        """Pooled features, (N, 1280)."""
        pooled: Tensor = self.norm(self.conv_head(self.stage(maps))).mean((2, 3))  # type: ignore[operator]
        return pooled

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Those that learn slowly: they have seen a million photographs."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("proj.")]

    def forward(self, maps: Tensor) -> Tensor:  # noqa: D102
        return F.normalize(self.proj(self.features(maps)), dim=1)


@torch.inference_mode()
def frozen_maps(trunk: nn.Module, pixels: Callable[[Sequence[int]], Tensor], count: int, batch: int = 64) -> Tensor:
    """What the frozen stages make of `count` pictures, float16 (count, 192, 5, 5); `pixels` gives a batch by rows."""
    stages = nn.Sequential(trunk.conv_stem, trunk.bn1, *trunk.blocks[:FROZEN_STAGES])  # type: ignore[arg-type, index]
    stages = stages.to(memory_format=torch.channels_last)
    parts = []
    for start in range(0, count, batch):
        rows = range(start, min(start + batch, count))
        parts.append(stages(pixels(rows).to(memory_format=torch.channels_last)).half().contiguous())
    return torch.cat(parts)


@dataclass(frozen=True)
class Drawings:
    """Maps of drawings, float16 (N, 192, 5, 5), and what each is called.

    names, kinds: for each drawing, rows of the phrases that name it and of those that say what kind of thing it is.
    """

    maps: Tensor
    names: Sequence[Sequence[int]]
    kinds: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Photographs:
    """Maps of photographs, and of the same as if painted or drawn, float16 (N, 192, 5, 5) both."""

    maps: Tensor
    styled: Tensor


def learn_drawings(
    head: Head,
    drawings: Drawings,
    photographs: Photographs,
    phrases: Phrases,
    config: DrawingConfig,
    checkpoint: Path,
    report: Callable[[str], None],
) -> tuple[Head, Tensor]:
    """The trained head, and the places of the phrases, float32 (phrases, width), where drawings have moved them."""
    places, word_keep = phrases.places, torch.tensor(config.word_keep)[list(phrases.origin)]
    new, words = deepcopy(head), _Words(places)
    optimizer = torch.optim.Adam(
        [
            {"params": new.trunk_parameters(), "base": config.trunk_rate},
            {"params": list(new.proj.parameters()), "base": config.learning_rate},
            {"params": list(words.parameters()), "base": config.word_rate},
        ]
    )
    with torch.inference_mode():
        before = torch.cat([head(part.float()) for part in photographs.maps.split(256)]).clone()
    kept = Checkpoint(checkpoint, head=new, words=words, optimizer=optimizer)
    for step in range(kept.resume(), config.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * cosine_schedule(step, config.steps, 20)
        rng = np.random.default_rng((config.seed, step))  # so that a resumed run draws what the first would have drawn
        rows = rng.choice(len(drawings.names), config.batch_size, replace=False).tolist()
        said = [_phrase(drawings, row, config.kinds, rng) for row in rows]
        seen = rng.choice(len(before), min(config.photographs, len(before)), replace=False)
        half = len(seen) // 2
        beside = [photographs.maps[seen[:half]], photographs.styled[seen[half:]]]
        embeddings = new(torch.cat([drawings.maps[rows], *beside]).float())
        text = F.normalize(words.places[said], dim=1)
        matching = _contrast(config.scale * embeddings[: len(rows)] @ text.T, _also_true(drawings, rows, said))
        moved = (1 - (embeddings[len(rows) :] * before[seen]).sum(1)).mean()
        words_moved = 1 - (text * places[said]).sum(1)
        loss = matching + config.keep * moved + (word_keep[said] * words_moved).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        kept.after(step)
        if step % 50 == 0 or step == config.steps - 1:
            shift = words_moved.mean()
            report(f"step {step}: matching {matching:.3f}, moved: photographs {moved:.3f}, words {shift:.3f}")
    return _blend(head, new, config.blend), F.normalize(words.places.detach(), dim=1)


def _blend(old: Head, new: Head, share: float) -> Head:
    """A head whose parameters lie so far on the way from the old ones to the new ones."""
    blended = deepcopy(new)
    for parameter, before in zip(blended.parameters(), old.parameters(), strict=True):
        parameter.data.lerp_(before.detach(), 1 - share)
    return blended


def cosine_schedule(step: int, steps: int, warmup: int) -> float:
    """The share of the learning rate at a step: a linear rise, then half a cosine down to nothing."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))


class _Words(nn.Module):
    """The places of the phrases as parameters."""

    def __init__(self, places: Tensor) -> None:
        super().__init__()
        self.places = nn.Parameter(places.clone())


def _phrase(drawings: Drawings, row: int, kinds: float, rng: np.random.Generator) -> int:
    """A name of the drawing, or at times what kind of thing it is."""
    named, kind = drawings.names[row], drawings.kinds[row]
    pool = kind if kind and (not named or rng.random() < kinds) else named
    return pool[int(rng.integers(len(pool)))]


def _also_true(drawings: Drawings, rows: Sequence[int], phrases: Sequence[int]) -> Tensor:
    """Which phrases of the batch are true of which of its drawings, bool (rows, phrases)."""
    truth = [{*drawings.names[row], *drawings.kinds[row]} for row in rows]
    return torch.tensor([[phrase in true for phrase in phrases] for true in truth])


def _contrast(logits: Tensor, also_true: Tensor) -> Tensor:
    """Symmetric contrastive loss; a phrase that is true of another drawing of the batch is no negative there."""
    own = torch.eye(len(logits), dtype=torch.bool)
    masked = logits.masked_fill(also_true & ~own, float("-inf"))
    target = torch.arange(len(logits))
    return (F.cross_entropy(masked, target) + F.cross_entropy(masked.T, target)) / 2
