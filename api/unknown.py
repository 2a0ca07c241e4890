"""Out-of-distribution detection: how likely an image shows none of the labels that it was classified by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from saft_core.calibration import WORDS_APART, FloatArray, Unknown, Words, fit_unknown_to_labels, margin
from saft_core.clip.words import words_of
from saft_core.clip.zero_shot import fill
from saft_core.data.images import decode_image
from saft_core.data.limits import DataLimits
from saft_core.data.probe_set import Probe
from saft_core.data.samples import Sample
from saft_core.delta.class_embeddings import labels_digest
from saft_core.serving.cache import ByteBoundedCache
from saft_core.serving.engine import Answers, Engine
from saft_core.templates import Template

CACHE_BYTES = 4 << 20
ENTRY_BYTES = 512
WORDS_AT_ONCE, PICTURES_AT_ONCE = 256, 16
"""Embedded at a time, so that requests get their turn at the engine in between."""
_Given = TypeVar("_Given")
_Mask = npt.NDArray[np.bool_]


class UnknownDetector:
    """Tells by the base and a probe set whether an image shows none of some labels. Thread-safe.

    probe: images of everyday things, mostly none of the labels; None tells it of nothing. Every method may raise what
    the engine raises.
    """

    def __init__(self, engine: Engine, probe: Probe | None, limits: DataLimits) -> None:
        self._engine, self._probe, self._limits = engine, probe, limits
        self._unknowns: ByteBoundedCache[bytes, Unknown | None] = ByteBoundedCache(CACHE_BYTES, lambda _: ENTRY_BYTES)
        self._others: ByteBoundedCache[bytes, _Mask] = ByteBoundedCache(
            CACHE_BYTES, lambda mask: mask.nbytes + ENTRY_BYTES
        )

    def warm_up(self) -> None:
        """Embed the words and the probe set, so that no request has to wait for it."""
        _ = self._words, self._concepts, self._images

    def unknown(self, labels: tuple[str, ...], template: Template) -> Unknown | None:
        """The calibration of `unknown` for labels without images of their own; None where it cannot be told."""
        if self._probe is None:
            return None
        return self._unknowns.get(labels_digest(labels, template), lambda: self._fitted(labels, template))

    def probability(
        self,
        unknown: Unknown,
        answers: Answers,
        labels: tuple[str, ...],
        template: Template,
        adapter_id: str | None = None,
    ) -> FloatArray:
        """The probability that each of N images shows none of the labels, float (N,), from any model's answers.

        adapter_id: whose answers they are; with it may be stored what the base makes of the labels.
        """
        others = self._none_of(labels, template, adapter_id)
        return unknown.probability(margin(answers.cosines.max(axis=1), answers.embeddings, self._words, others))

    def others(self, labels: tuple[str, ...], template: Template) -> FloatArray:
        """Unit embeddings of the words that are none of the labels, float32 (W, embed_dim)."""
        return self._words.embeddings[self._none_of(labels, template)]

    def _none_of(self, labels: tuple[str, ...], template: Template, adapter_id: str | None = None) -> _Mask:
        def found() -> _Mask:
            return self._words.none_of(self._engine.embed_labels(adapter_id, labels, template, strength=0.0))

        return self._others.get(labels_digest(labels, template), found)

    def _fitted(self, labels: tuple[str, ...], template: Template) -> Unknown | None:
        named = self._engine.embed_labels(None, labels, template)
        own = self._probe.targets if self._probe else np.empty(0, dtype=np.int64)
        return fit_unknown_to_labels(self._images, own, self._concepts, named, self._words)

    @cached_property
    def _words(self) -> Words:
        return Words.of(self._embedded(words_of(self._engine.base)), WORDS_APART)

    @cached_property
    def _concepts(self) -> FloatArray:
        """Unit embeddings of what the probe set shows, float32 (concepts, embed_dim)."""
        return self._embedded(self._probe.concepts if self._probe else ())

    @cached_property
    def _images(self) -> FloatArray:
        """Unit embeddings of the probe set, float32 (N, embed_dim)."""
        side = self._engine.base.image_side

        def embedded(samples: Sequence[Sample]) -> FloatArray:
            return self._engine.embed_images(None, [decode_image(one.read(), self._limits, side) for one in samples])

        return self._in_parts(embedded, self._probe.samples if self._probe else (), PICTURES_AT_ONCE)

    def _embedded(self, words: Sequence[str]) -> FloatArray:
        """Unit embeddings of words in the base's own template, float32 (words, embed_dim)."""
        prompts = fill(self._engine.base.defaults.template, words)
        return self._in_parts(lambda part: self._engine.embed_texts(None, part), prompts, WORDS_AT_ONCE)

    def _in_parts(
        self, embed: Callable[[Sequence[_Given]], FloatArray], given: Sequence[_Given], at_once: int
    ) -> FloatArray:
        none = np.empty((0, self._engine.base.embed_dim), dtype=np.float32)
        parts = [embed(given[start : start + at_once]) for start in range(0, len(given), at_once)]
        return np.concatenate([none, *parts])
