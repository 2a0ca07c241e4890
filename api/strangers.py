"""How likely a picture shows none of the labels that it was asked about."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from saft_core.calibration import WORDS_APART, FloatArray, Unknown, Words, fit_unknown_to_labels, margin
from saft_core.clip.words import words_of
from saft_core.clip.zero_shot import fill
from saft_core.data.images import decode_image
from saft_core.data.limits import DataLimits
from saft_core.data.probe import Probe
from saft_core.errors import InvalidInput
from saft_core.serving.engine import Answers, Engine
from saft_core.templates import Template

KEPT = 1024
"""Sets of labels of which is remembered what a stranger to them is."""
WORDS_AT_ONCE = 64
"""So that those who wait for an answer need not wait for all words."""


class Strangers:
    """What the base takes for a stranger; any number of threads may ask. All may raise what the engine raises.

    probe: pictures of things that are none of the labels, mostly.
    """

    def __init__(self, engine: Engine, probe: Probe | None, limits: DataLimits) -> None:
        self._engine, self._probe, self._limits = engine, probe, limits
        self.unknown = lru_cache(KEPT)(self._unknown)
        self._others = lru_cache(KEPT)(self._other_words)

    def warm_up(self) -> None:
        """Encode words and the probe set, so that no request has to wait for it."""
        _ = self._words
        if self._probe is not None:
            _ = self._images

    def probability(
        self, unknown: Unknown, answers: Answers, labels: tuple[str, ...], template: Template
    ) -> FloatArray:
        """That each of N pictures shows none of the labels, (N,), from what any model answered of them."""
        highest, others = answers.cosines.max(axis=1), self._others(labels, template)
        return unknown.probability(margin(highest, answers.embeddings, self._words, others))

    def _unknown(self, labels: tuple[str, ...], template: Template) -> Unknown | None:
        """What tells a stranger to labels of which nobody has pictures; None where it cannot be told."""
        if self._probe is None:
            return None
        named = self._engine.embed_labels(None, labels, template)
        try:
            concepts = self._engine.embed_labels(None, self._probe.concepts, template)
        except InvalidInput:  # the template leaves too little room for a name that the caller has never heard of
            return None
        return fit_unknown_to_labels(self._images, self._probe.targets, concepts, named, self._words)

    def _other_words(self, labels: tuple[str, ...], template: Template) -> npt.NDArray[np.bool_]:
        return self._words.none_of(self._engine.embed_labels(None, labels, template))

    @cached_property
    def _words(self) -> Words:
        base = self._engine.base
        prompts = fill(base.defaults.template, words_of(base))
        starts = range(0, len(prompts), WORDS_AT_ONCE)
        parts = [self._engine.embed_texts(None, prompts[start : start + WORDS_AT_ONCE]) for start in starts]
        return Words.of(np.concatenate([np.empty((0, base.embed_dim), dtype=np.float32), *parts]), WORDS_APART)

    @cached_property
    def _images(self) -> FloatArray:
        """Unit embeddings of the probe set, float32 (N, embed_dim)."""
        samples, side = self._probe.samples if self._probe else (), self._engine.base.image_side
        return self._engine.embed_images(None, [decode_image(one.read(), self._limits, side) for one in samples])
