"""The training loop: a time budget, a cosine schedule sized to it, and checkpoints that survive a kill at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from open_clip.model import CLIP
from torch import Tensor

from tools.pretrain.augment import augment
from tools.pretrain.captions import Words
from tools.pretrain.corpus import Corpus
from tools.pretrain.losses import category_loss, name_loss
from tools.pretrain.model import (
    MAX_LOGIT_SCALE,
    build_model,
    image_features,
    normalise,
    text_features,
)


@dataclass(frozen=True)
class TrainConfig:
    """What a run can be told."""

    minutes: float = 45.0
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup: float = 0.03
    category_weight: float = 2.0
    seed: int = 0
    device: str = "cpu"
    checkpoint_seconds: float = 180.0


@dataclass(frozen=True)
class Batch:
    """Everything one step needs, on the device."""

    images: Tensor
    captions: Tensor
    also_true: Tensor
    categories: Tensor
    category_target: Tensor
    category_true: Tensor
    has_category: Tensor


class BatchMaker:
    """Draws pictures, captions and the tables that say what else is true."""

    def __init__(self, corpus: Corpus, config: TrainConfig) -> None:
        self._corpus = corpus
        self._size = config.batch_size
        self._device = torch.device(config.device)
        self.reseed(config.seed)

    def reseed(self, seed: int) -> None:
        """Starts new random streams; a resumed run uses the step as part of the seed."""
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator(self._device).manual_seed(seed)

    def __call__(self) -> Batch:
        corpus, bank = self._corpus, self._corpus.bank
        rows = self._rng.choice(len(corpus.probability), self._size, p=corpus.probability)
        concepts = corpus.concept[rows]
        phrases, kinds = self._captions([bank.words[c] for c in concepts])
        every_category = bank.category_phrases
        category_true = bank.truth[np.ix_(concepts, every_category)]
        target = self._targets([bank.words[c].categories for c in concepts])
        tensors = (
            bank.build(phrases, self._rng, kinds),
            torch.from_numpy(bank.truth[np.ix_(concepts, phrases)]),
            bank.build(every_category, self._rng),
            torch.from_numpy(target),
            torch.from_numpy(category_true),
            torch.from_numpy(target >= 0),
        )
        pixels = torch.from_numpy(corpus.gallery.pixels[rows]).to(self._device)
        monochrome = torch.from_numpy(corpus.monochrome[rows]).to(self._device)
        images = normalise(augment(pixels, monochrome, self._generator))
        return Batch(images, *(tensor.to(self._device) for tensor in tensors))

    def _captions(self, words: list[Words]) -> tuple[npt.NDArray[np.int64], list[int | None]]:
        """A phrase each: mostly the name, sometimes with its kind, else a keyword or a category."""
        phrases, kinds = [], []
        for choice, word in zip(self._rng.random(len(words)), words, strict=True):
            kind = None
            pool = word.names
            if choice < 0.2 and len(word.keywords):
                pool = word.keywords
            elif choice < 0.35 and len(word.categories):
                pool = word.categories
            elif choice < 0.45 and len(word.categories):
                kind = int(self._rng.choice(word.categories))
            phrases.append(int(self._rng.choice(pool)))
            kinds.append(kind)
        return np.array(phrases), kinds

    def _targets(self, categories: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """One true category word each, the specific one half the time; -100 where there is none."""
        first = self._rng.random(len(categories)) < 0.5
        return np.array(
            [
                -100 if not len(ids) else int(ids[0] if own else self._rng.choice(ids))
                for ids, own in zip(categories, first, strict=True)
            ]
        )


def batch_loss(model: CLIP, batch: Batch, category_weight: float) -> tuple[Tensor, Tensor]:
    """Both losses of one batch, under bf16 autocast: twice as fast on CPUs that have it, and on any recent GPU."""
    with torch.autocast(batch.images.device.type, torch.bfloat16):
        images = image_features(model, batch.images)
        captions = text_features(model, batch.captions)
        categories = text_features(model, batch.categories)
    scale = model.logit_scale.exp()
    by_name = name_loss(scale * images @ captions.T, batch.also_true)
    known = batch.has_category
    by_kind = category_loss(
        scale * images[known] @ categories.T, batch.category_target[known], batch.category_true[known]
    )
    return by_name, category_weight * by_kind


class Trainer:
    """One run: state that is saved, and the loop that advances it."""

    def __init__(self, corpus: Corpus, config: TrainConfig, checkpoint: Path) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = build_model().to(config.device)
        self.step, self.elapsed = 0, 0.0
        self._checkpoint = checkpoint
        self._batches = BatchMaker(corpus, config)
        self._optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98), fused=True)
        if checkpoint.exists():
            self._load()

    def run(self, report: Callable[[str], None] = print) -> CLIP:
        """Trains until the budget is used up, however often the run was interrupted."""
        budget, saved = self.config.minutes * 60, self.elapsed
        started = time.monotonic() - self.elapsed
        while self.elapsed < budget:
            by_name, by_kind = self._advance(self.elapsed / budget)
            self.step += 1
            self.elapsed = time.monotonic() - started
            if self.step % 50 == 0:
                rate = self.step * self.config.batch_size / self.elapsed
                scale = self.model.logit_scale.exp().item()
                report(
                    f"step {self.step}  {self.elapsed / 60:.1f} min  name {by_name:.3f}  kind {by_kind:.3f}  "
                    f"scale {scale:.1f}  {rate:.0f} images/s"
                )
            if self.elapsed - saved > self.config.checkpoint_seconds:
                self.save()
                saved = self.elapsed
        self.save()
        return self.model

    def save(self) -> None:
        """Writes the state beside the old one and swaps, so that a kill leaves one whole checkpoint."""
        partial = self._checkpoint.with_suffix(".partial")
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
        }
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def _load(self) -> None:
        state = torch.load(self._checkpoint, map_location=self.config.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed = state["step"], state["elapsed"]
        self._batches.reseed(self.config.seed + self.step)

    def _groups(self) -> list[dict[str, object]]:
        """Weight decay for matrices only, as CLIP does: not for gains, biases and the temperature."""
        parameters = list(self.model.parameters())
        return [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": self.config.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]

    def _advance(self, progress: float) -> tuple[float, float]:
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.learning_rate * schedule(progress, self.config.warmup)
        by_name, by_kind = batch_loss(self.model, self._batches(), self.config.category_weight)
        (by_name + by_kind).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        return by_name.item(), by_kind.item()


def schedule(progress: float, warmup: float) -> float:
    """Linear warm-up, then a cosine to zero, over the share of the time budget that has passed."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))
