"""Evaluates the base and the adapted base during one fine-tune: predictions, retention and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from saft_core.calibration import Calibration, FloatArray, fit_temperature, fit_unknown, margin
from saft_core.clip.backbone import Base
from saft_core.data.limits import DataLimits
from saft_core.data.probe_set import Probe
from saft_core.data.samples import Sample
from saft_core.delta import SparseDelta
from saft_core.templates import each
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.costs import PROMPTS
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.predictions import (
    EncodedImages,
    Predictions,
    evaluate,
    merged,
    prompts_ahead,
    text_embeddings,
    words_for,
)
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.retention import ProbeEmbeddings, encode_probe, retention_metrics, unknown_samples


class Evaluator:
    """Evaluates the base, or the base with a delta at some strength, on images and on the probe set, if there is one.

    Every method that encodes images or prompts reports them to `meter`, and raises InvalidImage for images that
    cannot be read.
    """

    def __init__(
        self,
        base: Base,
        config: TrainingConfig,
        limits: DataLimits,
        meter: WorkMeter,
        probe: Probe | None,
    ) -> None:
        self._base, self._config, self._limits = base, config, limits
        self._meter, self._probe = meter, probe
        self._probe_images = self.images(probe.samples if probe else ())

    def loader(self, samples: Sequence[Sample]) -> PixelLoader:
        """A loader of the samples as the base's input."""
        return PixelLoader(samples, self._base.pixels, self._limits, side=self._base.image_side)

    def images(self, samples: Sequence[Sample]) -> EncodedImages:
        """The samples, to be encoded at the first evaluation."""
        return EncodedImages(self._base, self.loader(samples), self._config.batch_size, self._meter)

    def answers(
        self, images: EncodedImages, labels: Sequence[str], delta: SparseDelta | None = None, strength: float = 1.0
    ) -> Predictions | None:
        """Predictions among `labels`; None without images."""
        if not len(images):
            return None
        with self._model(delta, strength):
            answers = evaluate(self._base, images, labels, self._config.template, delta)
        self._read(len(labels))
        return answers

    def probe_embeddings(self, delta: SparseDelta | None = None, strength: float = 1.0) -> ProbeEmbeddings | None:
        """Embeddings of the probe set; None without one."""
        if self._probe is None:
            return None
        with self._model(delta, strength):
            seen = encode_probe(self._base, self._probe, self._probe_images, self._config.template, delta)
        self._read(len(self._probe.concepts))
        return seen

    def retention(self, before: ProbeEmbeddings | None, delta: SparseDelta, strength: float) -> dict[str, Any]:
        """`retention_metrics` of the delta against the base's embeddings `before`; null without a probe set."""
        after = self.probe_embeddings(delta, strength)
        if self._probe is None or before is None or after is None:
            return {"kept": None, "probe": None}
        return retention_metrics(torch.from_numpy(self._probe.targets), before, after)

    def calibration(
        self, held: EncodedImages, labels: Sequence[str], delta: SparseDelta, strength: float
    ) -> Calibration:
        """The calibration of a delta that was trained without the held-out images `held`."""
        template = self._config.template
        named = text_embeddings(self._base, labels, template).numpy()
        far = unknown_samples(self._base, self._probe, named, template) if self._probe else None
        ahead = prompts_ahead(self._base)
        words = words_for(self._base)
        others = words.none_of(named)
        self._read(len(labels) + (len(self._probe.concepts) if self._probe else 0), ahead)
        with self._model(delta, strength):
            texts = text_embeddings(self._base, labels, template)
            known = held.embeddings(delta)
            logits = (self._base.logit_scale.item() * known @ texts.T).numpy()
            temperature = fit_temperature(logits, held.targets.numpy())
            self._read(len(labels))
            if far is None:
                return Calibration(temperature)
            unknown = self._probe_images.embeddings(delta)[far]

        def margins(images: Tensor) -> FloatArray:
            return margin((images @ texts.T).numpy().max(axis=1), images.numpy(), words, others)

        return Calibration(temperature, fit_unknown(margins(known), margins(unknown)))

    def _read(self, labels: int, others: int = 0) -> None:
        """Report that so many labels, in all their prompts, and `others` further texts were encoded."""
        self._meter.advance(PROMPTS, labels * len(each(self._config.template)) + others)

    def _model(self, delta: SparseDelta | None, strength: float) -> AbstractContextManager[None]:
        return nullcontext() if delta is None else merged(self._base, delta, strength)
