"""From labelled samples to a delta container and its metrics: selection, training and evaluation in one call."""

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
from saft_core.data.probe_set import Probe
from saft_core.data.samples import Sample
from saft_core.delta import DeltaHeader, SparseDelta, decode, encode
from saft_core.tuning.checkpoint import Checkpoints, TrainingState, training_key
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.evaluator import Evaluator
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.metrics import adapter_metrics, base_metrics, base_to_new_metrics
from saft_core.tuning.mistakes import Mistake, PredictedSplit
from saft_core.tuning.plan import Plan, PlanTracker
from saft_core.tuning.predictions import Predictions, prompts_ahead
from saft_core.tuning.progress import Observer, WorkMeter
from saft_core.tuning.strategies import select_for
from saft_core.tuning.strength import STRENGTHS, HeldOut
from saft_core.tuning.training import Training
from saft_core.tuning.training_sets import Splits, TrainingSets

FIRST_STEPS = "first_steps"
"""Key of `TrainingState.carried` in checkpoints of the second training: how many steps the first one took."""


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What a fine-tune gives: the container to store, its delta as decoded from it, and the metrics.

    strength: in (0, 1], the strength that a request without one uses.
    calibration: of the predictions at that strength.
    mistakes: the misclassified images of the test, held-out and training sets, in this order.
    answers: the predictions on all these images, by the hash of the file; test images of new classes are left out.
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
    sets: TrainingSets,
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

    The strength is learned on held-out images, and with `config.evaluate` "refit" a second training then takes all
    images. Without test images the metrics are those of the first training's delta on the held-out images.

    observe: called with the progress after each piece of work.
    checkpoints: where an earlier attempt at the same fine-tune saved its state, and where this one saves its own.
    probe: images of other things, to measure what the base forgets and to calibrate what an unknown image looks like;
    without it neither is in the metrics.
    spent: the latest `Progress.seconds` of the earlier attempt, which those of the metrics will include.
    started: when the fine-tune began, in seconds of `time.monotonic()`; None means now.

    Raises InvalidInput for labels that the base cannot read or tell apart (clip/labels.py), InvalidConfig,
    InvalidImage, TrainingDiverged, and whatever `observe` raises.
    """
    check_labels(base, (*sets.labels, *sets.new_labels), config.template)
    meter = WorkMeter(observe, spent=spent, started=started)
    return _FineTune(base, sets, config, limits, meter, checkpoints, probe).run()


class _FineTune:
    """One call of `adapt`."""

    def __init__(
        self,
        base: Base,
        sets: TrainingSets,
        config: TrainingConfig,
        limits: DataLimits,
        meter: WorkMeter,
        checkpoints: Checkpoints | None,
        probe: Probe | None,
    ) -> None:
        self._base, self._sets, self._config = base, sets, config
        self._meter, self._checkpoints, self._probe = meter, checkpoints, probe
        self._container = checkpoints.load() if checkpoints is not None else None
        self._splits = Splits(sets.train, config, limits)
        self._tracker = PlanTracker(self._plan(), meter)
        self._evaluator = Evaluator(base, config, limits, meter, probe)
        self._held_images = self._evaluator.images(self._splits.held_out)

    def run(self) -> Adaptation:
        """All of it."""
        labels, evaluator = self._sets.labels, self._evaluator
        test, new = evaluator.images(self._sets.test), evaluator.images(self._sets.new_test)
        state = self._saved(self._key(self._splits.shots)) if self._splits.refits else None
        before, held_before = evaluator.answers(test, labels), self._held_before(state)
        if (base_alone := before or held_before) is not None:
            self._meter.metrics = base_metrics(labels, base_alone)
        new_before = evaluator.answers(new, self._sets.new_labels)
        known = evaluator.probe_embeddings()
        stored, held_out = self._trained_delta(state, held_before)
        strength = held_out.strength if held_out else 1.0
        after = evaluator.answers(test, labels, stored, strength)
        measured = self._accuracy_metrics(before, after, held_out)
        new_after = evaluator.answers(new, self._sets.new_labels, stored, strength)
        measured |= base_to_new_metrics(measured, self._sets.new_labels, new_before, new_after)
        measured |= {"untested_labels": list(self._sets.untested_labels)}
        measured |= evaluator.retention(known, stored, strength)
        splits = self._predicted_splits(after, new_after, held_out, stored, strength)
        calibration = held_out.calibration if held_out else UNCALIBRATED
        measured |= calibration.as_metrics() | _entries(self._base, self._config, stored)
        metrics = self._facts(strength) | measured
        header = _header(self._base, self._sets, self._config, metrics)
        wrong = [wrong for part in splits for wrong in part.mistakes()]
        trained = [part for part in splits if part.labels is labels]
        answers = {image: answer for part in reversed(trained) for image, answer in part.answered().items()}
        return Adaptation(encode(stored, header), stored, header, strength, calibration, metrics, wrong, answers)

    def _held_before(self, state: TrainingState | None) -> Predictions | None:
        """The base's predictions on the held-out images, which the state of a second training already carries."""
        if state is not None:
            return HeldOut.of_tensors(state.carried).before
        return self._evaluator.answers(self._held_images, self._sets.labels)

    def _trained_delta(
        self, state: TrainingState | None, held_before: Predictions | None
    ) -> tuple[SparseDelta, HeldOut | None]:
        """The delta to store, and the predictions on the images held out from the first training.

        state: of the second training, if an earlier attempt came so far.
        """
        if state is None:
            stored, held_out = self._first(held_before)
        else:
            held_out = HeldOut.of_tensors(state.carried)
            self._tracker.skipped_first(state.carried.get(FIRST_STEPS))
        if self._splits.refits:
            self._tracker.refits()
            stored = self._tuned(self._splits.shots, state, held_out)
        return stored, held_out

    def _first(self, before: Predictions | None) -> tuple[SparseDelta, HeldOut | None]:
        """The delta of the training without the held-out images, and the predictions on these before and after."""
        labels, evaluator, held = self._sets.labels, self._evaluator, self._held_images
        stored = self._tuned(self._splits.not_held_out, self._saved(self._key(self._splits.not_held_out)))
        if before is None:
            return stored, None
        tries = [evaluator.answers(held, labels, stored, strength) for strength in STRENGTHS]
        held_out = HeldOut(before, tuple(one for one in tries if one is not None))
        return stored, replace(held_out, calibration=evaluator.calibration(held, labels, stored, held_out.strength))

    def _predicted_splits(
        self,
        tested: Predictions | None,
        new: Predictions | None,
        held_out: HeldOut | None,
        stored: SparseDelta,
        strength: float,
    ) -> list[PredictedSplit]:
        """The predictions on test images, on those of new classes, on held-out and on training images."""
        labels, sets = self._sets.labels, self._sets
        trained = self._evaluator.answers(self._evaluator.images(self._splits.not_held_out), labels, stored, strength)
        parts: list[tuple[Split, Sequence[Sample], Predictions | None, Sequence[str]]] = [
            ("test", sets.test, tested, labels),
            ("test", sets.new_test, new, sets.new_labels),
            ("held-out", self._splits.held_out, held_out.answers if held_out else None, labels),
            ("training", self._splits.not_held_out, trained, labels),
        ]
        return [PredictedSplit(split, samples, answers, asked) for split, samples, answers, asked in parts if answers]

    def _tuned(
        self, samples: Sequence[Sample], state: TrainingState | None, held_out: HeldOut | None = None
    ) -> SparseDelta:
        """The delta of a training on `samples`, decoded from its container; resumed from `state` if there is one."""
        kept, watched = self._splits.with_validation(samples)
        loader, labels, config = self._evaluator.loader(kept), self._sets.labels, self._config
        indices = (
            select_for(self._base, loader, labels, config, self._meter) if state is None else state.indices.numpy()
        )
        self._tracker.selected(trains_images=self._base.flat.changes_images(indices))
        carried = held_out.as_tensors() | {FIRST_STEPS: torch.tensor(self._meter.earlier_steps)} if held_out else None
        objective = ClassPromptLoss(self._base, loader, labels, config)
        validation = partial(objective.mean_loss, self._evaluator.loader(watched)) if watched else None
        training = Training(objective, indices, config, validation=validation, carried=carried)
        key = self._key(samples)
        if state is not None:
            training.resume(state)
            self._tracker.resumed(len(kept), state.step)
        elif self._checkpoints is not None:
            self._checkpoints.save(training.state().encode(key))
        delta = training.run(self._meter, self._checkpoints, key)
        self._tracker.ended(len(kept), training.step, first=state.step if state is not None else 0)
        container = encode(delta, _header(self._base, self._sets, config, {}))
        return decode(container, max_bytes=len(container))[0]

    def _accuracy_metrics(
        self, before: Predictions | None, after: Predictions | None, held_out: HeldOut | None
    ) -> dict[str, Any]:
        """Metrics on the test images, or without any on the images held out from the first training."""
        if held_out and before is None:
            before, after = held_out.before, held_out.answers
        if before is None or after is None:
            return {"accuracy": None, "zero_shot_accuracy": None, "verdict": None, "test_images": 0, "base_fit": None}
        return adapter_metrics(self._sets.labels, before, after)

    def _facts(self, strength: float) -> dict[str, Any]:
        held = "held-out split" if self._splits.held_out else None
        return {
            "strength": strength,
            "train_images": len(self._splits.shots if self._splits.refits else self._splits.not_held_out),
            "held_out_images": len(self._splits.held_out),
            "shared_images": self._sets.shared_images,
            "evaluated_on": "test dataset" if self._sets.test else held,
            "evaluate": self._config.evaluate,
            "prompts": prompts_by_label(self._config.template, self._sets.labels),
            "seconds": self._meter.seconds,
        }

    def _key(self, samples: Sequence[Sample]) -> str:
        return training_key(self._base, self._sets.labels, samples, self._config)

    def _saved(self, key: str) -> TrainingState | None:
        """The state that an earlier attempt saved, if it is of the training with this key."""
        return TrainingState.decode(self._container, key) if self._container is not None else None

    def _plan(self) -> Plan:
        sets, splits, probe = self._sets, self._splits, self._probe
        trained = [splits.not_held_out, *([splits.shots] if splits.refits else [])]
        return Plan(
            self._config,
            trainings=tuple(len(splits.with_validation(samples)[0]) for samples in trained),
            not_held_out=len(splits.not_held_out),
            held_out=len(splits.held_out),
            test=len(sets.test),
            new_test=len(sets.new_test),
            probe=len(probe.samples) if probe else 0,
            labels=len(sets.labels),
            new_labels=len(sets.new_labels),
            concepts=len(probe.concepts) if probe else 0,
            words=prompts_ahead(self._base) if splits.held_out else 0,
        )


def _header(base: Base, sets: TrainingSets, config: TrainingConfig, metrics: dict[str, Any]) -> DeltaHeader:
    return DeltaHeader(
        base_fingerprint=base.fingerprint,
        base_name=base.name,
        parameter_count=base.parameter_count,
        density=config.density,
        template=config.template,
        classes=sets.labels,
        metrics=metrics,
    )


def _entries(base: Base, config: TrainingConfig, delta: SparseDelta) -> dict[str, int]:
    """How many entries the density asks for, and how many were selected: fewer where not all have a gradient."""
    return {"requested_entries": math.floor(config.density * base.parameter_count), "selected_entries": len(delta)}
