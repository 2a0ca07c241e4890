"""Classifiers: the weights of a zero-shot head, made of texts by the adapter that asks, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.labels import check_labels
from saft_core.clip.zero_shot import ensemble, fill
from saft_core.delta.class_embeddings import ClassEmbeddings, labels_digest
from saft_core.errors import Busy, DeadlinePassed
from saft_core.serving.adapters import ModelKey
from saft_core.serving.batcher import BatchLimits
from saft_core.serving.cache import ByteBoundedCache
from saft_core.sparse.batch_delta import Row
from saft_core.templates import Template

CACHE_BYTES = 64 << 20
ENTRY_BYTES = 1024
"""What the cache needs for an entry beside its weights, and more."""
TURN_BATCHES = 4
TURN_SECONDS = 0.02

EmbedTexts = Callable[[ModelKey, Row, Sequence[str], float], Tensor]


class Classifiers:
    """The classifiers of all adapters; safe for any number of threads.

    embed_texts: of a model's key and row, texts, and a deadline: unit embeddings float32 (texts, embed_dim).
    seconds:     the time to make a classifier: several may wait for it, each with a deadline of its own.
    """

    def __init__(self, base: Base, limits: BatchLimits, embed_texts: EmbedTexts, seconds: float) -> None:
        self._base, self._limits, self._embed_texts, self._making_seconds = base, limits, embed_texts, seconds
        self._log_scale, self._scale_slot = _logit_scale(base)
        self._kept: ByteBoundedCache[tuple[str | None, float, bytes], Tensor] = ByteBoundedCache(
            CACHE_BYTES, lambda weights: weights.nbytes + ENTRY_BYTES
        )
        self.counters = self._kept.counters

    def get(
        self,
        key: ModelKey,
        row: Row,
        labels: tuple[str, ...],
        template: Template,
        deadline: float,
        stored: ClassEmbeddings | None = None,
    ) -> Tensor:
        """Class embeddings times the model's logit scale, float32 (classes, embed_dim).

        stored: class embeddings of this very model's adapter, or, where `row` is the base, of any adapter of it. If
        they are of these labels, template and strength, the text tower is not run; they count as a hit, since they are
        in memory with the adapter.

        Raises InvalidInput for labels that the base cannot read or tell apart (clip/labels.py).
        """
        digest = labels_digest(labels, template)
        embeddings = stored.get(digest, 0.0 if row.delta is None else row.strength) if stored is not None else None
        if embeddings is None:
            return self._kept.get((*key, digest), lambda: self._made(key, row, labels, template), deadline)
        self._kept.count_hit()
        return self._scaled(row, torch.from_numpy(embeddings))

    def _made(self, key: ModelKey, row: Row, labels: tuple[str, ...], template: Template) -> Tensor:
        check_labels(self._base, labels, template)
        prompts, turn = fill(template, labels), self._turn
        deadline = time.monotonic() + self._making_seconds
        parts = [self._embed_texts(key, row, prompts[:turn], deadline)]
        starts = range(turn, len(prompts), turn)
        parts += [self._in_turn(key, row, prompts[start : start + turn], deadline) for start in starts]
        with torch.inference_mode():
            return self._scaled(row, ensemble(torch.cat(parts), template))

    def _scaled(self, row: Row, embeddings: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._scale_of(row).exp() * embeddings

    @property
    def _turn(self) -> int:
        """How many prompts one call has in the queue at a time, so that those of others come between them."""
        limits = self._limits
        return max(limits.max_rows, min(TURN_BATCHES * limits.max_rows, limits.queue_rows // 2))

    def _in_turn(self, key: ModelKey, row: Row, texts: Sequence[str], deadline: float) -> Tensor:
        """Texts of a call whose first ones were taken: where too much waits they wait, and what is done is not lost."""
        while True:
            try:
                return self._embed_texts(key, row, texts, deadline)
            except Busy:
                if time.monotonic() >= deadline:
                    raise DeadlinePassed from None
                time.sleep(TURN_SECONDS)

    def _scale_of(self, row: Row) -> Tensor:
        """The model's own logit scale, before `exp`."""
        delta = row.delta
        if delta is None or delta.bounds[self._scale_slot] == delta.bounds[self._scale_slot + 1]:
            return self._log_scale
        entry = int(delta.bounds[self._scale_slot])
        return self._log_scale + delta.scaled(row.strength)[entry].cpu()


def _logit_scale(base: Base) -> tuple[Tensor, int]:
    """A copy of the base's logit scale, and its slot."""
    slot = next(number for number, slot in enumerate(base.flat.slots) if slot.name == "logit_scale")
    return base.flat.buffer[base.flat.slots[slot].offset].detach().cpu().clone(), slot
