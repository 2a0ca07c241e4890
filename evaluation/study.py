"""One base under one set of conditions: makes fits, tests them, and keeps what came of them."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from evaluation.conditions import Conditions
from evaluation.datasets.dataset import DataSet, MissingData, TestSet
from evaluation.journal import Journal
from evaluation.loading import Images
from evaluation.memory import Peak
from evaluation.methods.dense import DenseFit
from evaluation.methods.full import FullFineTuning
from evaluation.methods.method import Examples, Fitted, Method, Unsuited
from evaluation.methods.wise_ft import WiseFt
from evaluation.outcomes import Classes, Outcome, Purpose, Run
from evaluation.splits import Shots, base_half, draw, halved, new_half, of_test
from saft_core.clip.backbone import Base
from saft_core.data.samples import Sample
from saft_core.errors import TrainingDiverged
from saft_core.tuning.precision import passes

BASE, NEW = "base classes", "new classes"
HELD = "held shots"

Tests = Mapping[str, tuple[TestSet, Images]]
"""Test sets by name, with their images as the base saw them."""


@dataclass(frozen=True)
class Latest:
    """The fit before the present one, if it may be of use, and what it cost."""

    run: Run | None = None
    fitted: Fitted | None = None
    seconds: float = 0.0
    peak_bytes: int = 0


@dataclass(frozen=True)
class Material:
    """What a fit is made of and tested on."""

    shots: Shots
    tests: Mapping[str, TestSet]

    @cached_property
    def sha256(self) -> str:
        """The digest of all of it, `data_sha256`."""
        return data_sha256(self.shots, self.tests)


class Study:
    """Runs methods, each as often as the conditions say, and never twice.

    find: a data set by its name; raises MissingData. transfers: data sets that every fit on `source` is tested on too.
    say: told of each fit, in a line.
    """

    def __init__(
        self,
        base: Base,
        find: Callable[[str], DataSet],
        journal: Journal,
        conditions: Conditions,
        say: Callable[[str], None],
        *,
        source: str = "",
        transfers: Sequence[str] = (),
    ) -> None:
        self.base, self.conditions = base, conditions
        self._find, self._journal, self._say = find, journal, say
        self._source, self._transfers = source, transfers
        self._datasets: dict[str, DataSet] = {}
        self._tests: dict[tuple[str, Classes], Tests] = {}
        self._rates: dict[tuple[str, str, Classes, int, float], float] = {}
        self._latest = Latest()
        self._materials: dict[tuple[str, Classes, int, int, Purpose], Material] = {}

    def dataset(self, name: str) -> DataSet:
        """The data set of this name. Raises MissingData."""
        if name not in self._datasets:
            self._datasets[name] = self._find(name)
        return self._datasets[name]

    def absence(self, name: str) -> str | None:
        """Why a data set is not there; None where it is."""
        try:
            self.dataset(name)
        except MissingData as missing:
            return str(missing)
        return None

    def has(self, name: str) -> bool:
        """Whether the data set is there."""
        return self.absence(name) is None

    def sentences(self) -> list[str]:
        """What holds for every figure, to be printed above a table."""
        return self.conditions.sentences(self.base)

    def outcomes(
        self,
        method: Method,
        dataset: str,
        classes: Classes = "all",
        *,
        shots: int | None = None,
        density: float | None = None,
    ) -> list[Outcome]:
        """One for each seed, in the order of the seeds. Raises MissingData."""
        runs = [
            self.conditions.run(self.base, method, dataset, classes, seed=seed, shots=shots, density=density)
            for seed in self.conditions.seeds
        ]
        return [self._outcome(method, self._tuned(method, run)) for run in runs]

    def fit(self, method: Method, dataset: str) -> Fitted:
        """One under the first seed, for whoever wants more of it than its accuracy. Raises MissingData."""
        run = self.conditions.run(self.base, method, dataset, "all", seed=self.conditions.seeds[0])
        return self._fitted(method, self._tuned(method, run), self._examples(self._material(run).shots))[0]

    def _tuned(self, method: Method, run: Run) -> Run:
        """The run at the best of the method's learning rates, or as it is where none is searched."""
        search = method.hyperparameters.search(self.base)
        if not self.conditions.tune or len(set(search)) < 2:
            return run
        return replace(run, learning_rate=self._best_rate(method, run, search))

    def _material(self, run: Run) -> Material:
        """The same for every method, and made once: it may take reading the shots of a large data set."""
        key = (run.dataset, run.classes, run.shots, run.seed, run.purpose)
        if key not in self._materials:
            self._materials[key] = self._gathered(run)
        return self._materials[key]

    def _gathered(self, run: Run) -> Material:
        data = self.dataset(run.dataset)
        drawn = draw(data, run.shots, run.seed)
        shots = base_half(drawn) if run.classes == "base" else drawn
        if run.purpose == "test":
            return Material(shots, self._test_sets(data, run.classes))
        kept, held = (replace(shots, val=()), shots.val) if shots.val else halved(shots, run.seed)
        return Material(kept, {HELD: TestSet(HELD, shots.labels, held, shots.template)})

    def _outcome(self, method: Method, run: Run) -> Outcome:
        """From the journal, or made and kept there."""
        material = self._material(run)
        known = self._journal.find(run, material.sha256)
        if known is not None:
            return known
        outcome = self._measured(method, run, material.shots, self._tests_of(run, material.tests))
        outcome = replace(outcome, data_sha256=material.sha256)
        self._journal.add(outcome)
        self._say(str(outcome))
        return outcome

    def _measured(self, method: Method, run: Run, shots: Shots, tests: Tests) -> Outcome:
        examples = self._examples(shots)
        started, peak = time.monotonic(), Peak(self.base.device)
        try:
            fitted, before = self._fitted(method, run, examples)
        except (Unsuited, TrainingDiverged) as error:
            return Outcome(run, unsuited=str(error), split_sha256=shots.sha256)
        seconds, peak_bytes = before.seconds + time.monotonic() - started, max(before.peak_bytes, peak.bytes)
        self._latest = Latest(run, fitted, seconds, peak_bytes)
        right, unnamed = self._tested(fitted, tests)
        return Outcome(
            run=run,
            right=right,
            unnamed=unnamed,
            trainable=fitted.trainable,
            seconds=seconds,
            peak_bytes=peak_bytes,
            split_sha256=shots.sha256,
            blocks=self.base.count_by_block(fitted.delta.indices) if fitted.delta else (),
        )

    def _fitted(self, method: Method, run: Run, examples: Examples) -> tuple[Fitted, Latest]:
        """A fit, and the one that it goes on from: WiSE-FT lies between the base and a full fine-tuning."""
        latest, is_shared = self._latest, self._latest.run == replace(run, method=FullFineTuning.name)
        if is_shared and isinstance(method, WiseFt) and isinstance(latest.fitted, DenseFit):
            return method.between(self.base, latest.fitted), latest
        return method.fit(self.base, examples, run), Latest()

    @torch.no_grad()
    def _tested(self, fitted: Fitted, tests: Tests) -> tuple[dict[str, str], list[str]]:
        right: dict[str, str] = {}
        unnamed = []
        with fitted.active(), passes(self.base.device):
            for name, (test, images) in tests.items():
                scorer = fitted.scorer(test.labels, test.template)
                if scorer is None:
                    unnamed.append(name)
                    continue
                predicted = [scorer(images.batch(chunk)).argmax(dim=1) for chunk in images.chunks]
                same = torch.cat(predicted) == images.targets
                right[name] = "".join("1" if one else "0" for one in same.tolist())
        return right, unnamed

    def _test_sets(self, data: DataSet, classes: Classes) -> dict[str, TestSet]:
        if classes == "base":
            return {BASE: of_test(data.tested, base_half), NEW: of_test(data.tested, new_half)}
        found = [data.tested, *data.shifted]
        if data.name == self._source:
            found += [self.dataset(name).tested for name in self._transfers if self.has(name)]
        sets = {test.name: test for test in found}
        if len(sets) < len(found):
            raise MissingData(f"{data.name} has test sets of one name: {', '.join(test.name for test in found)}")
        return sets

    def _examples(self, shots: Shots) -> Examples:
        held = self._frozen(shots.val) if shots.val else None
        return Examples(self._frozen(shots.train), shots.labels, shots.template, held)

    def _tests_of(self, run: Run, sets: Mapping[str, TestSet]) -> Tests:
        """The test sets of a run, encoded by the base; only those of the latest data set are kept."""
        if run.purpose == "choice":  # of each number of shots its own, and few
            return self._encoded(sets)
        key = (run.dataset, run.classes)
        if key not in self._tests:
            if not any(name == run.dataset for name, _ in self._tests):
                self._tests.clear()
            self._tests[key] = self._encoded(sets)
        return self._tests[key]

    def _encoded(self, sets: Mapping[str, TestSet]) -> Tests:
        return {name: (test, self._frozen(test.samples)) for name, test in sets.items()}

    def _frozen(self, samples: Sequence[Sample]) -> Images:
        images = Images(self.base, samples)
        images.freeze()
        return images

    def _best_rate(self, method: Method, run: Run, search: Sequence[float]) -> float:
        """The rate with the best accuracy on held shots of the first seed; the first of such."""
        key = (method.name, run.dataset, run.classes, run.shots, run.density)
        if key not in self._rates:
            of_choice = replace(run, seed=self.conditions.seeds[0], purpose="choice")
            scores = [self._on_held_shots(method, replace(of_choice, learning_rate=rate)) for rate in search]
            self._rates[key] = search[max(range(len(scores)), key=scores.__getitem__)]
        return self._rates[key]

    def _on_held_shots(self, method: Method, run: Run) -> float:
        """Accuracy on held shots, of a fit on the others."""
        outcome = self._outcome(method, run)
        told = outcome.right.get(HELD, "")
        return told.count("1") / len(told) if told else -math.inf


def data_sha256(shots: Shots, tests: Mapping[str, TestSet]) -> str:
    """Of what a fit is made of and tested on: labels, templates, and of each image the label and the path in its set.

    Of the shots the bytes are in it, too; of test images, which may be very many, they are not.
    """
    asked: list[Any] = [shots.labels, shots.template]
    asked += [[(one.path, one.label, one.content()) for one in part] for part in (shots.train, shots.val)]
    for name, test in tests.items():
        asked.append([name, test.labels, test.template, [(one.path, one.label) for one in test.samples]])
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
