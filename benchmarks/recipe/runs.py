"""One run: a training by the product's own `adapt()`, and what the delta that it stores answers on test pictures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from unittest import mock

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.recipe.journal import Journal, Scores
from benchmarks.recipe.numbers import balanced, calibration_error, right, told_apart
from benchmarks.recipe.pictures import NEW_CLASSES, Labelled, Split
from benchmarks.recipe.tasks import Part, Source, rare
from evaluation.loading import LIMITS
from saft_core.calibration import FloatArray, margin
from saft_core.clip.backbone import Base
from saft_core.data.probe_set import load_probe
from saft_core.data.samples import Sample
from saft_core.delta import SparseDelta, decode
from saft_core.templates import Template
from saft_core.tuning.adapt import Adaptation, adapt
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.predictions import EncodedImages, merged, text_embeddings, words_for
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.training_sets import TrainingSets

BoolArray = npt.NDArray[np.bool_]
Strength = Literal["full", "learned"]
BASE, OLD, NEW = "zero-shot", "old defaults", "new defaults"
FORMER: Mapping[str, Any] = {"epochs": 10, "evaluate": "holdout", "augment": "none"}
"""The defaults before; the strength was 1."""
TRAININGS: Mapping[str, Mapping[str, Any] | None] = {
    BASE: None,
    OLD: FORMER,
    NEW: {},
    "20 epochs": {**FORMER, "epochs": 20},
    "refit": {**FORMER, "evaluate": "refit"},
    "crop": {**FORMER, "augment": "crop"},
    "crop_flip": {**FORMER, "augment": "crop_flip"},
}
"""What each changes in the defaults of today; None trains nothing."""


@dataclass(frozen=True)
class Variant:
    """A row of the tables: a training, and how much of its delta is used."""

    name: str
    training: str
    strength: Strength = "full"


VARIANTS = (
    Variant(BASE, BASE),
    Variant(OLD, OLD),
    Variant("20 epochs", "20 epochs"),
    Variant("learned strength", OLD, "learned"),
    Variant("refit", "refit"),
    Variant("crop", "crop"),
    Variant("crop_flip", "crop_flip"),
    Variant(NEW, NEW, "learned"),
)


def parts(training: str) -> tuple[Part, ...]:
    """What is trained on; uneven classes are for the defaults alone."""
    return ("all", "half", "uneven") if training in (BASE, OLD, NEW) else ("all", "half")


class Bench:
    """One base, the pictures of all tasks, and the outcomes so far."""

    def __init__(self, base: Base, sources: Sequence[Source], journal: Journal) -> None:
        self._base, self._journal, self._probe = base, journal, load_probe()
        self._words = words_for(base)
        self._places = {file: place for place, file in enumerate(sorted({f for one in sources for f in one.files}))}
        self._embed = Remembered(base.encode_pixels)
        samples = [Sample(0, file.name, file.read_bytes) for file in self._places]
        loader = PixelLoader(samples, base.pixels, LIMITS, side=base.image_side, cache_bytes=0)
        self._pictures = EncodedImages(base, loader, base.defaults.batch_size, WorkMeter(lambda _: None))

    def outcome(self, source: Source, part: Part, training: str, seed: int) -> Scores:
        """Tests by strength and name: "learned own" and so on; `seconds` of the first seed's training on all."""
        config = self._config(training, seed)
        key = self._key(source, part, training, config)
        return self._journal.get(key, lambda: self._run(source.split(part, seed), config, training, part))

    def has(self, source: Source, part: Part, training: str, seed: int) -> bool:
        """Whether the journal holds this outcome."""
        return self._key(source, part, training, self._config(training, seed)) in self._journal

    def _key(self, source: Source, part: Part, training: str, config: TrainingConfig) -> list[Any]:
        return [self._base.fingerprint[:12], source.name, source.shots, part, training, asdict(config)]

    def _config(self, training: str, seed: int) -> TrainingConfig:
        defaults = asdict(self._base.defaults)
        today = TrainingConfig(**defaults, seed=seed)
        return replace(today, **(TRAININGS[training] or {}))

    def _run(self, split: Split, config: TrainingConfig, training: str, part: Part) -> Scores:
        taught = text_embeddings(self._base, split.train.labels, config.template)
        others = self._words.none_of(taught.numpy())
        if TRAININGS[training] is None:
            return _named("full", self._measure(split, config.template, others))
        timed = part == "all" and config.seed == 0
        started = time.monotonic()
        result = self._adapted(split, config, nullcontext() if timed else self._remembering())
        seconds = time.monotonic() - started
        delta = decode(result.container, max_bytes=len(result.container))[0]
        scores = {"strength": [result.strength], "seconds": [seconds] if timed else []}
        with merged(self._base, delta):
            scores |= _named("full", self._measure(split, config.template, others, delta))
        with merged(self._base, delta, result.strength):
            learned = self._measure(split, config.template, others, delta, result.calibration.temperature)
        return scores | _named("learned", learned)

    def _adapted(self, split: Split, config: TrainingConfig, within: AbstractContextManager[object]) -> Adaptation:
        task = TrainingSets(split.train.labels, split.train.samples)
        with within:
            return adapt(self._base, task, config, LIMITS, lambda _: None, probe=self._probe)

    def _remembering(self) -> AbstractContextManager[object]:
        """Within it a picture is encoded once and for all, where no training reaches the image tower."""
        alone = self._base.defaults.encoders == "text"
        return mock.patch.object(self._base, "encode_pixels", self._embed) if alone else nullcontext()

    def _measure(
        self,
        split: Split,
        template: Template,
        others: BoolArray,
        delta: SparseDelta | None = None,
        temperature: float | None = None,
    ) -> Scores:
        """The model as it stands now, with `delta`, on each test, and with the new classes' pictures as strangers."""
        pictures = self._pictures.embeddings(delta)

        def embeddings(test: Labelled) -> Tensor:
            return pictures[[self._places[file] for file in test.files]]

        def cosines(test: Labelled, labels: tuple[str, ...]) -> FloatArray:
            return (embeddings(test) @ text_embeddings(self._base, labels, template).T).numpy()

        def margins(test: Labelled) -> FloatArray:
            return margin(cosines(test, taught).max(axis=1), embeddings(test).numpy(), self._words, others)

        own, *elsewhere = split.tests
        taught, tested = split.train.labels, split.tests[own]
        known, scale = cosines(tested, taught), self._base.logit_scale.item()
        scores = {"own": right(known, tested.targets)}
        scores |= balanced(scores["own"], tested.targets, rare(split.train))
        scores["calibration error"] = [calibration_error(scale * known, tested.targets)]
        if temperature is not None:
            scores["calibrated error"] = [calibration_error(scale / temperature * known, tested.targets)]
        for other in elsewhere:
            test = split.tests[other]
            name = other if other == NEW_CLASSES else f"unseen {other}"
            scores[name] = right(cosines(test, test.labels), test.targets)
        if NEW_CLASSES in split.tests:
            scores |= told_apart(margins(tested), margins(split.tests[NEW_CLASSES]))
        return scores


class Remembered:
    """Embeddings by the picture's pixels, as `encode` gives them up to rounding; for an image tower that stays."""

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        self._encode = encode
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, pixels: Tensor) -> Tensor:
        """Unit embeddings (N, embed_dim) of pixels (N, 3, size, size)."""
        keys = [hashlib.blake2b(one.cpu().numpy().tobytes(), digest_size=16).digest() for one in pixels]
        missing = [place for place, key in enumerate(keys) if key not in self._known]
        if missing:
            with torch.inference_mode(mode=False), torch.no_grad():
                found = self._encode(pixels[missing].clone())
            self._known |= {keys[place]: one for place, one in zip(missing, found, strict=True)}
        return torch.stack([self._known[key] for key in keys])


def _named(strength: Strength, scores: Scores) -> Scores:
    return {f"{strength} {name}": values for name, values in scores.items()}
