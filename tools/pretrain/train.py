"""The training loop: a time budget, a cosine schedule sized to it, and checkpoints that survive a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip.model import CLIP
from torch import Tensor

from tools.pretrain.augment import augment
from tools.pretrain.captions import Ids, Words
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

    minutes: float = 15.0
    batch_size: int = 256
    frozen_batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup: float = 0.03
    category_weight: float = 1.5
    text_steps: int = 75
    text_frozen: float = 0.5
    frozen_name_weight: float = 0.3
    frozen_scale: float = 30.0
    text_rate: float = 0.5
    seed: int = 0
    device: str = "cpu"
    checkpoint_seconds: float = 180.0


@dataclass(frozen=True)
class Truth:
    """What is true of the batch's concepts: of each other's captions, and of the category words."""

    captions: Tensor
    category: Tensor
    target: Tensor


@dataclass(frozen=True)
class Batch:
    """Everything one step needs, on the device."""

    images: Tensor
    captions: Tensor
    categories: Tensor
    truth: Truth


@dataclass(frozen=True)
class TextBatch:
    """The same without pictures."""

    names: Tensor
    captions: Tensor
    categories: Tensor
    truth: Truth


@dataclass(frozen=True)
class PictureBatch:
    """Pictures, the phrases they are captioned with, and every phrase that is true of them."""

    images: Tensor
    phrases: Tensor
    target: Tensor
    truth: Tensor


class BatchMaker:
    """Draws pictures, captions and the tables that say what else is true."""

    def __init__(self, corpus: Corpus, config: TrainConfig) -> None:
        self._corpus = corpus
        self._size = config.batch_size
        self._device = torch.device(config.device)
        self.reseed(config.seed)

    def texts(self) -> TextBatch:
        """Names against other captions of the same concepts, no pictures: what the text tower starts from."""
        bank = self._corpus.bank
        rows = self._rng.choice(len(self._corpus.probability), self._size, p=self._corpus.probability)
        concepts = self._rng.permutation(np.unique(self._corpus.concept[rows]))
        words = [bank.words[c] for c in concepts]
        names = np.array([int(self._rng.choice(word.names)) for word in words])
        phrases, _ = self._captions(words)
        return TextBatch(
            names=bank.build(names, self._rng).to(self._device),
            captions=bank.build(phrases, self._rng).to(self._device),
            categories=bank.build(bank.category_phrases, self._rng).to(self._device),
            truth=self._truth(concepts, phrases, words),
        )

    def reseed(self, seed: int) -> None:
        """Starts new random streams; a resumed run uses the step as part of the seed."""
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator(self._device).manual_seed(seed)

    def __call__(self) -> Batch:
        """One batch for both towers."""
        bank = self._corpus.bank
        images, concepts = self._draw(self._size)
        words = [bank.words[c] for c in concepts]
        phrases, kinds = self._captions(words)
        return Batch(
            images=images,
            captions=bank.build(phrases, self._rng, kinds).to(self._device),
            categories=bank.build(bank.category_phrases, self._rng).to(self._device),
            truth=self._truth(concepts, phrases, words),
        )

    def pictures(self, size: int) -> PictureBatch:
        """Pictures with the ids of their phrases, for training against embeddings that are already there."""
        bank = self._corpus.bank
        images, concepts = self._draw(size)
        words = [bank.words[c] for c in concepts]
        phrases, _ = self._captions(words)
        return PictureBatch(
            images=images,
            phrases=torch.from_numpy(phrases).to(self._device),
            target=torch.from_numpy(self._targets([word.categories for word in words])).to(self._device),
            truth=torch.from_numpy(bank.truth[concepts]).to(self._device),
        )

    def _draw(self, size: int) -> tuple[Tensor, Ids]:
        corpus = self._corpus
        rows = self._rng.choice(len(corpus.probability), size, p=corpus.probability)
        pixels = torch.from_numpy(corpus.gallery.pixels[rows]).to(self._device)
        monochrome = torch.from_numpy(corpus.monochrome[rows]).to(self._device)
        return normalise(augment(pixels, monochrome, self._generator)), corpus.concept[rows]

    def every_phrase(self) -> list[Tensor]:
        """All phrases in order, each in a random sentence, in chunks."""
        bank = self._corpus.bank
        ids = np.arange(len(bank.phrases))
        return [bank.build(ids[i : i + 1024], self._rng).to(self._device) for i in range(0, len(ids), 1024)]

    def _truth(self, concepts: Ids, phrases: Ids, words: list[Words]) -> Truth:
        bank = self._corpus.bank
        return Truth(
            torch.from_numpy(bank.truth[np.ix_(concepts, phrases)]).to(self._device),
            torch.from_numpy(bank.truth[np.ix_(concepts, bank.category_phrases)]).to(self._device),
            torch.from_numpy(self._targets([word.categories for word in words])).to(self._device),
        )

    def _captions(self, words: list[Words]) -> tuple[Ids, list[int | None]]:
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

    def _targets(self, categories: list[Ids]) -> Ids:
        """One true category word each, mostly the specific one; -100 where there is none."""
        first = self._rng.random(len(categories)) < 0.75
        return np.array(
            [
                -100 if not len(ids) else int(ids[0] if own else self._rng.choice(ids))
                for ids, own in zip(categories, first, strict=True)
            ]
        )


def batch_loss(model: CLIP, batch: Batch | TextBatch, category_weight: float) -> tuple[Tensor, Tensor]:
    """Both losses of one batch, under bf16 autocast: twice as fast on CPUs that have it, and on any recent GPU."""
    with torch.autocast(batch.captions.device.type, torch.bfloat16):
        anchors = image_features(model, batch.images) if isinstance(batch, Batch) else text_features(model, batch.names)
        captions = text_features(model, batch.captions)
        categories = text_features(model, batch.categories)
    scale, truth = model.logit_scale.exp(), batch.truth
    by_name = name_loss(scale * anchors @ captions.T, truth.captions)
    known = truth.target >= 0
    by_kind = category_loss(scale * anchors[known] @ categories.T, truth.target[known], truth.category[known])
    return by_name, category_weight * by_kind


def frozen_loss(model: CLIP, batch: PictureBatch, phrases: Tensor, categories: int) -> tuple[Tensor, Tensor]:
    """Both losses against the finished embeddings of all phrases; the category words are the first of them."""
    with torch.autocast(batch.images.device.type, torch.bfloat16):
        images = image_features(model, batch.images)
    logits = model.logit_scale.exp() * images @ phrases.T
    known = batch.target >= 0
    by_name = category_loss(logits, batch.phrases, batch.truth)
    by_kind = category_loss(logits[known, :categories], batch.target[known], batch.truth[known, :categories])
    return by_name, by_kind


class Trainer:
    """One run: state that is saved, and the loop that advances it."""

    def __init__(self, corpus: Corpus, config: TrainConfig, checkpoint: Path) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = build_model().to(config.device)
        self.step, self.seen, self.elapsed = 0, 0, 0.0
        self._phrases: Tensor | None = None
        self._categories = len(corpus.bank.category_phrases)
        self._checkpoint = checkpoint
        self._batches = BatchMaker(corpus, config)
        self._optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98), fused=True)
        if checkpoint.exists():
            self._load()

    def run(self, report: Callable[[str], None] = print) -> CLIP:
        """Trains until the budget is used up, however often the run was interrupted."""
        if self.step == 0:
            self._warm_text()
        budget, saved = self.config.minutes * 60, self.elapsed
        started = time.monotonic() - self.elapsed
        while self.elapsed < budget:
            by_name, by_kind = self._advance(self.elapsed / budget)
            self.step += 1
            self.elapsed = time.monotonic() - started
            if self.step % 100 == 0:
                rate = self.seen / self.elapsed
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
            "seen": self.seen,
            "elapsed": self.elapsed,
        }
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def _load(self) -> None:
        state = torch.load(self._checkpoint, map_location=self.config.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.seen, self.elapsed = state["step"], state["seen"], state["elapsed"]
        self._batches.reseed(self.config.seed + self.step)

    def _warm_text(self) -> None:
        """A minute of text alone, before the first picture.

        Both towers start with all their embeddings close together, and each has nothing to align with until the other
        spreads out: a plateau of thousands of steps. Text against text leaves it within fifty, and pictures then
        learn against captions that already differ.
        """
        for step in range(self.config.text_steps):
            self._set_rate(min(1.0, (step + 1) / 30), text=1.0)
            self._update(batch_loss(self.model, self._batches.texts(), self.config.category_weight))
        with torch.no_grad():
            self.model.logit_scale.fill_(math.log(self.config.frozen_scale))

    def _groups(self) -> list[dict[str, Any]]:
        """By tower, and weight decay for matrices only, as CLIP does: not for gains, biases and the temperature."""
        groups: list[dict[str, Any]] = []
        for text in (False, True):
            mine = [p for name, p in self.model.named_parameters() if _is_text(name) is text]
            decayed = {"params": [p for p in mine if p.ndim >= 2], "weight_decay": self.config.weight_decay}
            others = {"params": [p for p in mine if p.ndim < 2], "weight_decay": 0.0}
            groups += [{**decayed, "text": text}, {**others, "text": text}]
        return groups

    def _set_rate(self, factor: float, text: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor * (text if group["text"] else 1.0)

    def _advance(self, progress: float) -> tuple[float, float]:
        """One step with pictures: against frozen text in small batches first, then both towers together."""
        frozen = progress < self.config.text_frozen
        for name, parameter in self.model.named_parameters():
            if _is_text(name):
                parameter.requires_grad_(not frozen)
        self._set_rate(schedule(progress, self.config.warmup), self.config.text_rate)
        if not frozen:
            self.seen += self.config.batch_size
            return self._update(batch_loss(self.model, self._batches(), self.config.category_weight))
        if self._phrases is None or self.step % 500 == 0:
            self._phrases = self._embed_phrases()
        self.seen += self.config.frozen_batch_size
        batch = self._batches.pictures(self.config.frozen_batch_size)
        by_name, by_kind = frozen_loss(self.model, batch, self._phrases, self._categories)
        return self._update((self.config.frozen_name_weight * by_name, self.config.category_weight * by_kind))

    @torch.no_grad()
    def _embed_phrases(self) -> Tensor:
        """The frozen tower's answer to every phrase; anew now and then, for other sentences around them."""
        with torch.autocast(self.config.device, torch.bfloat16):
            return torch.cat([text_features(self.model, rows) for rows in self._batches.every_phrase()])

    def _update(self, losses: tuple[Tensor, Tensor]) -> tuple[float, float]:
        by_name, by_kind = losses
        (by_name + by_kind).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        return by_name.item(), by_kind.item()


def _is_text(name: str) -> bool:
    return not name.startswith("visual.") and name != "logit_scale"


def schedule(progress: float, warmup: float) -> float:
    """Linear warm-up, then a cosine to zero, over the share of the time budget that has passed."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))
