"""`python -m tools.effect --pictures DIR`: choose settings, run every method, print the tables.

Every run's outcome is kept in a file of JSON lines; started again, the command makes only what is missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.loading import load_base
from saft_core.clip.zero_shot import class_weights
from saft_core.tuning.config import Encoders, TrainingConfig
from tools.effect.journal import Journal, Scores
from tools.effect.methods import METHODS, Method, Score, loader_of
from tools.effect.report import differences, table
from tools.effect.tasks import SHOTS, Labelled, Pictures, halves

SAMPLES = Path(__file__).resolve().parents[2] / "samples/photos"
VALIDATION_SEED = 100
KEPT_SHOTS = 8
"""Of the 16 shots, what trains while settings are chosen; the other eight choose."""


@dataclass(frozen=True)
class Test:
    """Pixels, float32 (N, 3, size, size), to classify among labels, and the right answers, int64 (N,)."""

    pixels: Tensor
    targets: Tensor
    labels: tuple[str, ...]


class Study:
    """One base, one set of pictures, all methods."""

    def __init__(self, base: Base, pictures: Pictures, new: Pictures, journal: Journal, epochs: int) -> None:
        self._base, self._pictures, self._new = base, pictures, new
        self._journal, self._epochs = journal, epochs
        self._model = [base.fingerprint[:12], base.defaults.template, epochs, pictures.name]

    def choose(self, method: Method, styles: Sequence[str]) -> float:
        """The learning rate with the best accuracy on the validation shots, over these styles."""
        means = []
        for rate in method.learning_rates:
            runs = [self._validate(method, style, rate) for style in styles]
            means.append(float(np.mean([value for run in runs for value in run["held shots"]])))
        return method.learning_rates[int(np.argmax(means))]

    def _validate(self, method: Method, style: str, rate: float) -> Scores:
        def run() -> Scores:
            split = self._pictures.split(style, VALIDATION_SEED, self._new)
            first, second = halves(split.train, VALIDATION_SEED, KEPT_SHOTS)
            return self._run(method, first, {"held shots": second}, VALIDATION_SEED, rate)

        return self._journal.get(["validation", *self._model, KEPT_SHOTS, method.name, style, rate], run)

    def test(self, method: Method | None, style: str, seed: int, rate: float) -> Scores:
        """One training on all shots and its tests; None is the base as it is."""

        def run() -> Scores:
            split = self._pictures.split(style, seed, self._new)
            return self._run(method, split.train, split.tests, seed, rate)

        name = method.name if method else "zero-shot"
        return self._journal.get(["test", *self._model, name, style, seed, rate], run)

    def _run(
        self, method: Method | None, train: Labelled, tests: Mapping[str, Labelled], seed: int, rate: float
    ) -> Scores:
        score = self._score({name: self._test(found) for name, found in tests.items()}, train.labels)
        if method is None:
            return score(None)
        return method.run(self._base, train, self._config(seed, rate), score)

    def _test(self, found: Labelled) -> Test:
        return Test(*loader_of(self._base, found).batch(range(len(found))), found.labels)

    def _config(self, seed: int, rate: float) -> TrainingConfig:
        defaults = self._base.defaults
        return TrainingConfig(
            density=defaults.density,
            learning_rate=rate,
            epochs=self._epochs,
            batch_size=defaults.batch_size,
            weight_decay=defaults.weight_decay,
            template=defaults.template,
            encoders=cast("Encoders", defaults.encoders),
            seed=seed,
        )

    def _score(self, tests: dict[str, Test], trained: tuple[str, ...]) -> Score:
        @torch.no_grad()
        def score(classifier: Tensor | None) -> Scores:
            right: Scores = {}
            for name, test in tests.items():
                if classifier is not None and test.labels != trained:
                    right[name] = []
                    continue
                weights = classifier
                if weights is None:
                    weights = class_weights(self._base, test.labels, self._base.defaults.template)
                features = torch.cat([self._base.encode_pixels(part) for part in test.pixels.split(64)])
                right[name] = ((features @ weights.T).argmax(dim=1) == test.targets).int().tolist()
            return right

        return score


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.effect", description=__doc__)
    parser.add_argument("--pictures", type=Path, help="a folder a style; the bundled samples unless given")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/saft-effect")
    parser.add_argument("--base", default="", help="as SAFT_BASE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--styles", nargs="*", help="train on these only, and choose by them")
    parser.add_argument("--methods", nargs="*", help="only these")
    options = parser.parse_args()
    samples = Pictures.of_samples(SAMPLES)
    pictures = Pictures.of_folders(options.pictures) if options.pictures else samples
    new = samples if options.pictures else Pictures("none", {"": {}})
    base = load_base(options.base)
    study = Study(base, pictures, new, Journal(options.cache / "effect.jsonl"), options.epochs)
    methods = [method for method in METHODS if not options.methods or method.name in options.methods]
    styles = options.styles or pictures.trainable()
    rates = {method.name: study.choose(method, styles) for method in methods}
    print(f"{SHOTS} shots a class, {options.epochs} epochs, {options.seeds} seeds")
    for style in styles:
        print(f"\n{_tables(study, style, methods, rates, options.seeds)}", flush=True)


def _tables(study: Study, style: str, methods: Sequence[Method], rates: Mapping[str, float], seeds: int) -> str:
    runs = {"zero-shot": [study.test(None, style, seed, 0.0) for seed in range(seeds)]}
    for method in methods:
        runs[method.name] = [study.test(method, style, seed, rates[method.name]) for seed in range(seeds)]
    tests = list(runs["zero-shot"][0])
    rows = {name: {test: [run[test] for run in of_seeds] for test in tests} for name, of_seeds in runs.items()}
    settings = {name: f"{rate:g}" for name, rate in rates.items()}
    pairs = [("saft 0.001", other) for other in ("zero-shot", "full") if {"saft 0.001", other} <= rows.keys()]
    return f"{table(style, tests, rows, settings)}\n\n{differences(tests, rows, pairs)}"


if __name__ == "__main__":
    main()
