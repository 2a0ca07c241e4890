"""One base under one set of conditions: makes fits, tests them, and keeps what came of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from evaluation.datasets.dataset import DataSet, MissingData, TestSet
from evaluation.journal import Journal
from evaluation.loading import Images
from evaluation.memory import Peak
from evaluation.methods.dense import DenseFit
from evaluation.methods.full import FullFineTuning
from evaluation.methods.method import FitConfig, Fitted, Method, Unsuited
from evaluation.methods.wise_ft import WiseFt
from evaluation.outcomes import Classes, Outcome, Run
from evaluation.splits import Shots, base_half, draw, halved, new_half, of_test
from saft_core.clip.backbone import Base
from saft_core.data.augment import Augment
from saft_core.errors import TrainingDiverged
from saft_core.tuning.precision import passes

FEWEST_OF_BASE_TO_NEW = 4
"""Classes from which on there are two halves of two at least."""
BASE, NEW = "base classes", "new classes"
HELD = "held shots"
EPOCHS = 20
EMBEDDED_EPOCHS = 4
"""On the small base that comes along: enough to tell methods apart, and done with all of them in half an hour."""


@dataclass(frozen=True)
class Conditions:
    """What holds for every run; what the paper does not state is chosen here.

    density, weight_decay: the paper's, unless a method's own paper says otherwise. epochs: None takes those of
    a method's own paper where it learns a few numbers on frozen embeddings, and EPOCHS for all others. tune: choose the
    learning rate of each method on held shots, among as many; else each has its stated one.
    """

    shots: int
    seeds: tuple[int, ...]
    epochs: int | None
    batch_size: int
    augment: Augment
    density: float
    weight_decay: float
    tune: bool

    def sentences(self, base: Base) -> list[str]:
        """What is printed above every table."""
        precision = "bfloat16" if base.device.type == "cuda" else "float32"
        rates = (
            "The learning rate of each method is the best of three on held shots of the first seed."
            if self.tune
            else "Learning rates are those that each method's own paper states"
            + (", or such as suit this small base." if base.card.embedded else ".")
        )
        return [
            f"Base: {base.name}, in {precision} on {base.device.type}.",
            f"{self.shots} shots a class unless said otherwise; seeds {', '.join(map(str, self.seeds))}.",
            f"Not stated by the paper and chosen here: epochs as the table has them, batches of {self.batch_size},"
            f" augmentation: {self.augment}.",
            rates,
        ]


@dataclass(frozen=True)
class Latest:
    """The fit before the present one, if it may be of use, and what it cost."""

    run: Run | None = None
    fitted: Fitted | None = None
    seconds: float = 0.0
    peak_bytes: int = 0


class Study:
    """Runs methods, each as often as the conditions say, and never twice.

    find: a data set by its name; raises MissingData. transfers: data sets that every fit on `source` is tested on too.
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
        self._tests: dict[tuple[str, Classes], dict[str, tuple[TestSet, Images]]] = {}
        self._rates: dict[tuple[str, str], float] = {}
        self._latest = Latest()

    def dataset(self, name: str) -> DataSet:
        """The data set of this name. Raises MissingData."""
        if name not in self._datasets:
            self._datasets[name] = self._find(name)
        return self._datasets[name]

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
        rate = self._rate(method, dataset, shots or self.conditions.shots)
        return [
            self._outcome(method, self._run(method, dataset, classes, seed, rate, shots=shots, density=density))
            for seed in self.conditions.seeds
        ]

    def _run(
        self,
        method: Method,
        dataset: str,
        classes: Classes,
        seed: int,
        rate: float,
        *,
        shots: int | None = None,
        density: float | None = None,
    ) -> Run:
        chosen, own = self.conditions, method.settings(self.base)
        return Run(
            base=f"{self.base.name} {self.base.fingerprint[:12]}",
            dataset=dataset,
            classes=classes,
            shots=chosen.shots if shots is None else shots,
            method=method.name,
            learning_rate=rate,
            epochs=chosen.epochs or own.epochs or (EMBEDDED_EPOCHS if self.base.card.embedded else EPOCHS),
            batch_size=chosen.batch_size,
            weight_decay=chosen.weight_decay if own.weight_decay is None else own.weight_decay,
            density=chosen.density if density is None else density,
            augment=chosen.augment,
            seed=seed,
        )

    def _outcome(self, method: Method, run: Run) -> Outcome:
        data = self.dataset(run.dataset)
        names = self._names(data, run.classes)
        known = self._journal.find(run, names)
        if known is not None:
            return known
        shots = draw(data, run.shots, run.seed)
        if run.classes == "base":
            shots = base_half(shots)
        outcome = self._measured(method, run, shots, self._images_of_tests(data, run.classes))
        self._journal.add(outcome)
        self._say(_line(outcome))
        return outcome

    def _measured(self, method: Method, run: Run, shots: Shots, tests: Mapping[str, tuple[TestSet, Images]]) -> Outcome:
        train, held = Images(self.base, shots.train), Images(self.base, shots.val)
        train.freeze()
        held.freeze()
        started, peak = time.monotonic(), Peak(self.base.device)
        try:
            fitted, before = self._fitted(method, run, shots, train, held)
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

    def _fitted(self, method: Method, run: Run, shots: Shots, train: Images, held: Images) -> tuple[Fitted, Latest]:
        """A fit, and the one that it goes on from: WiSE-FT lies between the base and a full fine-tuning."""
        if isinstance(method, WiseFt):
            latest = self._latest
            if latest.run == replace(run, method=FullFineTuning.name) and isinstance(latest.fitted, DenseFit):
                return method.between(self.base, latest.fitted), latest
        config = config_of(run)
        fitted = method.fit(self.base, train, shots.labels, shots.template, config, held=held if len(held) else None)
        return fitted, Latest()

    def fit(self, method: Method, dataset: str) -> Fitted:
        """One under the first seed, for whoever wants more of it than its accuracy. Raises MissingData."""
        shots = draw(self.dataset(dataset), self.conditions.shots, self.conditions.seeds[0])
        rate = self._rate(method, dataset, self.conditions.shots)
        run = self._run(method, dataset, "all", self.conditions.seeds[0], rate)
        train, held = Images(self.base, shots.train), Images(self.base, shots.val)
        train.freeze()
        held.freeze()
        return self._fitted(method, run, shots, train, held)[0]

    @torch.no_grad()
    def _tested(self, fitted: Fitted, tests: Mapping[str, tuple[TestSet, Images]]) -> tuple[dict[str, str], list[str]]:
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

    def _names(self, data: DataSet, classes: Classes) -> list[str]:
        if classes == "base":
            return [BASE, NEW]
        return [test.name for test in self._test_sets(data)]

    def _test_sets(self, data: DataSet) -> list[TestSet]:
        found = [data.tested, *data.shifted]
        if data.name != self._source:
            return found
        return found + [self.dataset(name).tested for name in self._transfers if self.has(name)]

    def has(self, name: str) -> bool:
        """Whether the data set is there."""
        return self.absence(name) is None

    def absence(self, name: str) -> str | None:
        """Why a data set is not there; None where it is."""
        try:
            self.dataset(name)
        except MissingData as missing:
            return str(missing)
        return None

    def sentences(self) -> list[str]:
        """What holds for every figure, to be printed above a table."""
        return self.conditions.sentences(self.base)

    def _images_of_tests(self, data: DataSet, classes: Classes) -> dict[str, tuple[TestSet, Images]]:
        """The test sets, encoded by the base; only those of the latest data set are kept."""
        key = (data.name, classes)
        if key not in self._tests:
            if not any(name == data.name for name, _ in self._tests):
                self._tests.clear()
            sets = (
                {BASE: of_test(data.tested, base_half), NEW: of_test(data.tested, new_half)}
                if classes == "base"
                else {test.name: test for test in self._test_sets(data)}
            )
            self._tests[key] = {name: (test, Images(self.base, test.samples)) for name, test in sets.items()}
            for _, images in self._tests[key].values():
                images.freeze()
        return self._tests[key]

    def _rate(self, method: Method, dataset: str, shots: int) -> float:
        settings = method.settings(self.base)
        if not self.conditions.tune or len(set(settings.search)) < 2:
            return settings.learning_rate
        key = (method.name, f"{dataset} {shots}")
        if key not in self._rates:
            scores = [self._on_held_shots(method, dataset, shots, rate) for rate in settings.search]
            self._rates[key] = settings.search[max(range(len(scores)), key=scores.__getitem__)]
        return self._rates[key]

    def _on_held_shots(self, method: Method, dataset: str, shots: int, rate: float) -> float:
        """Accuracy on held shots, of a fit on the others, under the first seed."""
        seed = self.conditions.seeds[0]
        run = replace(self._run(method, dataset, "all", seed, rate, shots=shots), purpose="choice")
        known = self._journal.find(run, [HELD])
        if known is None:
            drawn = draw(self.dataset(dataset), shots, seed)
            first, second = (replace(drawn, val=()), drawn.val) if drawn.val else halved(drawn, seed)
            held = TestSet(HELD, drawn.labels, second, drawn.template)
            images = Images(self.base, second)
            images.freeze()
            known = self._measured(method, run, first, {HELD: (held, images)})
            self._journal.add(known)
            self._say(_line(known))
        told = known.right.get(HELD, "")
        return told.count("1") / len(told) if told else -math.inf


def config_of(run: Run) -> FitConfig:
    """How to fit, by what a run says."""
    return FitConfig(
        learning_rate=run.learning_rate,
        epochs=run.epochs,
        batch_size=run.batch_size,
        weight_decay=run.weight_decay,
        density=run.density,
        augment=run.augment,
        seed=run.seed,
    )


def _line(outcome: Outcome) -> str:
    """One outcome for people who watch."""
    run = outcome.run
    what = f"{run.dataset}, {run.classes} classes, {run.shots} shots, seed {run.seed}: {run.method}"
    if run.purpose == "choice":
        what += f" at {run.learning_rate:g}"
    if outcome.unsuited:
        return f"{what}: {outcome.unsuited}"
    told = ", ".join(
        f"{name} {100 * right.count('1') / max(1, len(right)):.1f}" for name, right in outcome.right.items()
    )
    return f"{what}: {told} ({outcome.seconds:.0f} s)"
