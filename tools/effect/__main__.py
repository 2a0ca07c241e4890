"""`python -m tools.effect --packages node_modules`: choose settings, run every method, print the table.

Every run's outcome is kept in a file of JSON lines; started again, the command makes only what is missing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.loading import load_base
from saft_core.clip.zero_shot import class_weights
from saft_core.tuning.config import TrainingConfig
from tools.effect.methods import METHODS, Method, Score, Scores, loader_of
from tools.effect.report import TESTS, table
from tools.effect.tasks import SHOTS, TASKS, Labelled, Pictures, halves

VALIDATION_SEEDS = (100,)
KEPT_SHOTS = 8
"""Of the 16 shots, what trains while settings are chosen; the other eight choose."""


@dataclass(frozen=True)
class Test:
    """Pixels, float32 (N, 3, size, size), to classify among labels, and the right answers, int64 (N,)."""

    pixels: Tensor
    targets: Tensor
    labels: tuple[str, ...]


class Journal:
    """Outcomes by key, kept as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._known: dict[str, Scores] = dict(json.loads(line) for line in lines)

    def get(self, key: Sequence[Any], run: Any) -> Scores:
        """The outcome of `key`, from the file or from `run()`."""
        name = json.dumps(key)
        if name not in self._known:
            self._known[name] = run()
            with self._path.open("a") as file:
                file.write(json.dumps([name, self._known[name]]) + "\n")
            print(name, {test: round(float(np.mean(v)), 3) for test, v in self._known[name].items() if v}, flush=True)
        return self._known[name]


class Study:
    """One base, all tasks and methods."""

    def __init__(self, base: Base, pictures: Pictures, journal: Journal, epochs: int) -> None:
        self._base, self._pictures, self._journal, self._epochs = base, pictures, journal, epochs
        self._model = [base.fingerprint[:12], base.defaults.template]

    def choose(self, method: Method) -> float:
        """The learning rate with the best accuracy on the validation shots, over all tasks."""
        means = []
        for rate in method.learning_rates:
            runs = [self._validate(method, task, seed, rate) for task in TASKS for seed in VALIDATION_SEEDS]
            means.append(float(np.mean([value for run in runs for value in run["same_style"]])))
        return method.learning_rates[int(np.argmax(means))]

    def _validate(self, method: Method, task: str, seed: int, rate: float) -> Scores:
        def run() -> Scores:
            first, second = halves(self._pictures.split(task, seed).train, seed, KEPT_SHOTS)
            return self._run(method, first, {"same_style": second}, seed, rate)

        return self._journal.get(["validation", *self._model, KEPT_SHOTS, method.name, task, seed, rate], run)

    def test(self, method: Method | None, task: str, seed: int, rate: float) -> Scores:
        """One training on all shots and its tests; None is the base as it is."""

        def run() -> Scores:
            split = self._pictures.split(task, seed)
            tests = {test: getattr(split, test) for test in TESTS}
            return self._run(method, split.train, tests, seed, rate)

        name = method.name if method else "zero-shot"
        return self._journal.get(["test", *self._model, name, task, seed, rate], run)

    def _run(
        self, method: Method | None, train: Labelled, tests: dict[str, Labelled], seed: int, rate: float
    ) -> Scores:
        prepared = {
            name: Test(*loader_of(self._base, found).batch(range(len(found))), found.labels)
            for name, found in tests.items()
        }
        score = self._score(prepared, train.labels)
        if method is None:
            return score(None)
        return method.run(self._base, loader_of(self._base, train), train.labels, self._config(seed, rate), score)

    def _config(self, seed: int, rate: float) -> TrainingConfig:
        defaults = self._base.defaults
        return TrainingConfig(
            density=defaults.density,
            learning_rate=rate,
            epochs=self._epochs,
            batch_size=defaults.batch_size,
            weight_decay=defaults.weight_decay,
            template=defaults.template,
            encoders="both",
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
    parser.add_argument("--packages", type=Path, default=Path("node_modules"), help="where npm installed the icons")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/saft-pretrain")
    parser.add_argument("--base", default="", help="as SAFT_BASE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--methods", nargs="*", help="only these")
    options = parser.parse_args()
    base = load_base(options.base)
    journal = Journal(options.cache / f"effect-{options.epochs}.jsonl")
    study = Study(base, Pictures(options.packages, options.cache), journal, options.epochs)
    methods = [method for method in METHODS if not options.methods or method.name in options.methods]
    rates = {method.name: study.choose(method) for method in methods}
    print(f"{SHOTS} shots a class, {options.epochs} epochs, {options.seeds} seeds")
    for task in TASKS:
        rows = {"zero-shot": _by_test([study.test(None, task, seed, 0.0) for seed in range(options.seeds)])}
        for method in methods:
            runs = [study.test(method, task, seed, rates[method.name]) for seed in range(options.seeds)]
            rows[method.name] = _by_test(runs)
        settings = {name: f"{rate:g}" for name, rate in rates.items()}
        print(f"\n{table(task, rows, settings)}", flush=True)


def _by_test(runs: Sequence[Scores]) -> dict[str, list[list[int]]]:
    return {test: [run[test] for run in runs] for test in TESTS}


if __name__ == "__main__":
    main()
