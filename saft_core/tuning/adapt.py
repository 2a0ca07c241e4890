"""From labelled samples to a delta container and its measured effect: the whole of SAFT in one call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from saft_core.calibration import UNCALIBRATED, Calibration
from saft_core.clip.backbone import Base
from saft_core.clip.labels import check_labels
from saft_core.clip.zero_shot import prompts_by_label
from saft_core.comparison import Answered, Split
from saft_core.data.limits import DataLimits
from saft_core.data.near_duplicates import representatives
from saft_core.data.probe import Probe
from saft_core.data.samples import Sample
from saft_core.data.splits import draw_shots, stratified_split
from saft_core.delta import DeltaHeader, SparseDelta, decode, encode
from saft_core.tuning.checkpoint import Checkpoints, TrainingState, training_key
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.evaluation import Evaluation, prompts_ahead
from saft_core.tuning.figures import base_to_new, figures, figures_of_base
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.measuring import Measuring
from saft_core.tuning.mistakes import Mistake, Told
from saft_core.tuning.plan import Course, Plan
from saft_core.tuning.progress import Observer, WorkMeter
from saft_core.tuning.selection import select_for
from saft_core.tuning.strength import STRENGTHS, HeldOut
from saft_core.tuning.training import Training

HELD_OUT_SHARE = 0.2
"""Part of each class that is held out from training to learn the strength on, and to be measured on."""
VALIDATION_SHARE = 0.2
"""Part of each class that early stopping watches instead of training on it."""
FIRST_STEPS = "first_steps"
"""In what a checkpoint of the second training carries: how many steps the first one took."""


@dataclass(frozen=True)
class Task:
    """What to adapt to. `labels` in label order; `test` holds samples that `train` does not, and may be empty.

    new_labels, new_test: classes that are not trained, and samples of them, by which to measure what the adapter does
    to the rest of the base.
    shared_images: how many test images were left out because they are trained on.
    untested_labels: classes of the test images of which none is left, or that nothing can be told of.
    """

    labels: tuple[str, ...]
    train: Sequence[Sample]
    test: Sequence[Sample] = ()
    shared_images: int = 0
    new_labels: tuple[str, ...] = ()
    new_test: Sequence[Sample] = ()
    untested_labels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Adaptation:
    """The result: the container to store, its delta as decoded from it, and the metrics.

    strength: in (0, 1], how much of the delta to use where nobody says.
    calibration: of the answers at that strength.
    mistakes: the test images, held-out images and training images that are answered wrongly, in this order.
    answers: what is said of all these, by the hash of the file, but for test images of classes that are not trained.
    """

    container: bytes
    delta: SparseDelta
    header: DeltaHeader
    strength: float
    calibration: Calibration
    metrics: dict[str, Any] = field(default_factory=dict)
    mistakes: Sequence[Mistake] = ()
    answers: Mapping[str, Answered] = field(default_factory=dict)


def adapt(
    base: Base,
    task: Task,
    config: TrainingConfig,
    limits: DataLimits,
    observe: Observer,
    checkpoints: Checkpoints | None = None,
    probe: Probe | None = None,
    *,
    spent: Mapping[str, float] | None = None,
    started: float | None = None,
) -> Adaptation:
    """Select, train, encode, and measure what was encoded. The base is bit-identical afterwards, whatever happens.

    The strength is learned on images held out, and with `config.evaluate` "refit" a second training then takes all
    images. Without test images of its own the task is measured on the held-out ones, by the first training's delta.

    checkpoints: where an earlier run of the same task left its state, and this one leaves its own.
    probe: what to measure forgetting on, and what strangers look like; without it neither is told.
    spent: the latest `Progress.seconds` of that earlier run, which the metrics' are to include.
    started: on `time.monotonic()`'s clock, if it was before this call.

    Raises InvalidInput for labels that the base cannot read or tell apart (clip/labels.py), InvalidConfig,
    InvalidImage, TrainingDiverged, and whatever `observe` raises.
    """
    check_labels(base, (*task.labels, *task.new_labels), config.template)
    meter = WorkMeter(observe, spent=spent, started=started)
    return _Adapting(base, task, config, limits, meter, checkpoints, probe).run()


class _Adapting:
    """One adaptation under way."""

    def __init__(
        self,
        base: Base,
        task: Task,
        config: TrainingConfig,
        limits: DataLimits,
        meter: WorkMeter,
        checkpoints: Checkpoints | None,
        probe: Probe | None,
    ) -> None:
        self._base, self._task, self._config, self._limits = base, task, config, limits
        self._meter, self._checkpoints, self._probe = meter, checkpoints, probe
        self._container = checkpoints.load() if checkpoints is not None else None
        self._all = _shots(task.train, config)
        self._picture_of = self._pictures()
        self._kept, self._held = self._hold_out(self._all)
        self._refits = config.evaluate == "refit" and bool(self._held)
        self._course = Course(self._planned(), meter)
        self._measuring = Measuring(base, config, limits, meter, probe)
        self._held_images = self._measuring.images(self._held)

    def run(self) -> Adaptation:
        """All of it."""
        labels, measuring = self._task.labels, self._measuring
        test, new = measuring.images(self._task.test), measuring.images(self._task.new_test)
        state = self._saved(self._key(self._all)) if self._refits else None
        before, held_before = measuring.answers(test, labels), self._held_before(state)
        if (base_alone := before or held_before) is not None:
            self._meter.metrics = figures_of_base(labels, base_alone)
        new_before = measuring.answers(new, self._task.new_labels)
        known = measuring.recognised()
        stored, held_out = self._trained_delta(state, held_before)
        strength = held_out.strength if held_out else 1.0
        after = measuring.answers(test, labels, stored, strength)
        measured = self._figures(before, after, held_out)
        new_after = measuring.answers(new, self._task.new_labels, stored, strength)
        measured |= base_to_new(measured, self._task.new_labels, new_before, new_after)
        measured |= {"untested_labels": list(self._task.untested_labels)}
        measured |= measuring.retention(known, stored, strength)
        told = self._told(after, new_after, held_out, stored, strength)
        calibration = held_out.calibration if held_out else UNCALIBRATED
        measured |= calibration.as_metrics() | _entries(self._base, self._config, stored)
        metrics = self._facts(strength) | measured
        header = _header(self._base, self._task, self._config, metrics)
        wrong = [wrong for part in told for wrong in part.mistakes()]
        trained = [part for part in told if part.labels is labels]
        answers = {image: answer for part in reversed(trained) for image, answer in part.answered().items()}
        return Adaptation(encode(stored, header), stored, header, strength, calibration, metrics, wrong, answers)

    def _held_before(self, state: TrainingState | None) -> Evaluation | None:
        """The base's answers on the held-out images; in the second training's state they are already."""
        if state is not None:
            return HeldOut.of_tensors(state.carried).before
        return self._measuring.answers(self._held_images, self._task.labels)

    def _trained_delta(
        self, state: TrainingState | None, held_before: Evaluation | None
    ) -> tuple[SparseDelta, HeldOut | None]:
        """The delta to store, and what the images held out from the first training said.

        state: of the second training, if an earlier run came so far.
        """
        if state is None:
            stored, held_out = self._first(held_before)
        else:
            held_out = HeldOut.of_tensors(state.carried)
            self._course.skipped_first(state.carried.get(FIRST_STEPS))
        if self._refits:
            self._course.refits()
            stored = self._tuned(self._all, state, held_out)
        return stored, held_out

    def _first(self, before: Evaluation | None) -> tuple[SparseDelta, HeldOut | None]:
        """The training that leaves the held-out images aside, and the answers on these before and after."""
        labels, measuring, held = self._task.labels, self._measuring, self._held_images
        stored = self._tuned(self._kept, self._saved(self._key(self._kept)))
        if before is None:
            return stored, None
        tries = [measuring.answers(held, labels, stored, strength) for strength in STRENGTHS]
        held_out = HeldOut(before, tuple(one for one in tries if one is not None))
        return stored, replace(held_out, calibration=measuring.calibration(held, labels, stored, held_out.strength))

    def _told(
        self,
        tested: Evaluation | None,
        new: Evaluation | None,
        held_out: HeldOut | None,
        stored: SparseDelta,
        strength: float,
    ) -> list[Told]:
        """The answers on test images, those of new classes, held-out images and training images there are."""
        labels, task = self._task.labels, self._task
        trained = self._measuring.answers(self._measuring.images(self._kept), labels, stored, strength)
        parts: list[tuple[Split, Sequence[Sample], Evaluation | None, Sequence[str]]] = [
            ("test", task.test, tested, labels),
            ("test", task.new_test, new, task.new_labels),
            ("held-out", self._held, held_out.answers if held_out else None, labels),
            ("training", self._kept, trained, labels),
        ]
        return [Told(split, samples, answers, asked) for split, samples, answers, asked in parts if answers]

    def _tuned(
        self, samples: Sequence[Sample], state: TrainingState | None, held_out: HeldOut | None = None
    ) -> SparseDelta:
        """The delta of a training on `samples`, decoded from its container; from `state` on if there is one."""
        kept, watched = self._validation_split(samples)
        loader, labels, config = self._measuring.loader(kept), self._task.labels, self._config
        indices = (
            select_for(self._base, loader, labels, config, self._meter) if state is None else state.indices.numpy()
        )
        self._course.selected(trains_images=self._base.flat.changes_images(indices))
        carried = held_out.as_tensors() | {FIRST_STEPS: torch.tensor(self._meter.earlier_steps)} if held_out else None
        objective = ClassPromptLoss(self._base, loader, labels, config)
        validation = partial(objective.mean_loss, self._measuring.loader(watched)) if watched else None
        training = Training(objective, indices, config, validation=validation, carried=carried)
        key = self._key(samples)
        if state is not None:
            training.resume(state)
            self._course.resumed(len(kept), state.step)
        elif self._checkpoints is not None:
            self._checkpoints.save(training.state().encode(key))
        delta = training.run(self._meter, self._checkpoints, key)
        self._course.ended(len(kept), training.step, first=state.step if state is not None else 0)
        container = encode(delta, _header(self._base, self._task, config, {}))
        return decode(container, max_bytes=len(container))[0]

    def _figures(self, before: Evaluation | None, after: Evaluation | None, held_out: HeldOut | None) -> dict[str, Any]:
        """Of the answers on the test images, or else of those on the images held out from the first training."""
        if held_out and before is None:
            before, after = held_out.before, held_out.answers
        if before is None or after is None:
            return {"accuracy": None, "zero_shot_accuracy": None, "verdict": None, "test_images": 0, "base_fit": None}
        return figures(self._task.labels, before, after)

    def _facts(self, strength: float) -> dict[str, Any]:
        held = "held-out split" if self._held else None
        return {
            "strength": strength,
            "train_images": len(self._all if self._refits else self._kept),
            "held_out_images": len(self._held),
            "shared_images": self._task.shared_images,
            "evaluated_on": "test dataset" if self._task.test else held,
            "evaluate": self._config.evaluate,
            "prompts": prompts_by_label(self._config.template, self._task.labels),
            "seconds": self._meter.seconds,
        }

    def _key(self, samples: Sequence[Sample]) -> str:
        return training_key(self._base, self._task.labels, samples, self._config)

    def _saved(self, key: str) -> TrainingState | None:
        """What an earlier run left, if it is of the training with this key."""
        return TrainingState.decode(self._container, key) if self._container is not None else None

    def _trained(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        return self._validation_split(samples)[0]

    def _pictures(self) -> dict[str, str]:
        """Content hash to its representative (data/near_duplicates.py), where anything is split at all."""
        if self._config.evaluate == "none" and not self._config.patience_epochs:
            return {}
        contents = [sample.content() for sample in self._all]
        return dict(zip(contents, representatives(self._all, self._limits), strict=True))

    def _hold_out(self, samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
        """What to train on, and what is held out to be measured on: a draw that the same images always repeat."""
        return (list(samples), []) if self._config.evaluate == "none" else self._split(samples, HELD_OUT_SHARE)

    def _validation_split(self, samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
        """What to train on, and what early stopping watches. Both are training images: no test image decides."""
        return self._split(samples, VALIDATION_SHARE) if self._config.patience_epochs > 0 else (list(samples), [])

    def _split(self, samples: Sequence[Sample], share: float) -> tuple[list[Sample], list[Sample]]:
        contents = [self._picture_of[sample.content()] for sample in samples]
        kept, aside = stratified_split([sample.label for sample in samples], contents, share)
        return [samples[place] for place in kept], [samples[place] for place in aside]

    def _planned(self) -> Plan:
        task, probe = self._task, self._probe
        trained = [self._kept, *([self._all] if self._refits else [])]
        return Plan(
            self._config,
            trained=tuple(len(self._trained(samples)) for samples in trained),
            kept=len(self._kept),
            held=len(self._held),
            test=len(task.test),
            new=len(task.new_test),
            probed=len(probe.samples) if probe else 0,
            labels=len(task.labels),
            new_labels=len(task.new_labels),
            concepts=len(probe.concepts) if probe else 0,
            words=prompts_ahead(self._base) if self._held else 0,
        )


def _shots(samples: Sequence[Sample], config: TrainingConfig) -> list[Sample]:
    if not config.shots:
        return list(samples)
    return [samples[place] for place in draw_shots([one.label for one in samples], config.shots, config.seed)]


def _header(base: Base, task: Task, config: TrainingConfig, metrics: dict[str, Any]) -> DeltaHeader:
    return DeltaHeader(
        base_fingerprint=base.fingerprint,
        base_name=base.name,
        parameter_count=base.parameter_count,
        density=config.density,
        template=config.template,
        classes=task.labels,
        metrics=metrics,
    )


def _entries(base: Base, config: TrainingConfig, delta: SparseDelta) -> dict[str, int]:
    """How many entries the density stands for, and how many were selected: less where fewer have a gradient."""
    return {"requested_entries": math.floor(config.density * base.parameter_count), "selected_entries": len(delta)}
