"""From labelled samples to a delta container and its measured effect: the whole of SAFT in one call."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from saft_core.clip.backbone import Base
from saft_core.clip.labels import check_labels
from saft_core.data.limits import DataLimits
from saft_core.data.loaders import PixelLoader
from saft_core.data.samples import Sample
from saft_core.data.splits import stratified_split
from saft_core.delta import DeltaHeader, SparseDelta, decode, encode
from saft_core.tuning.checkpoint import Checkpoints, TrainingState, training_key
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.evaluation import FORWARD_SHARE, Evaluation, evaluate
from saft_core.tuning.progress import Observer, WorkMeter
from saft_core.tuning.selection import select_for
from saft_core.tuning.training import Training, steps_per_epoch

VALIDATION_SHARE = 0.2
"""Part of each class that early stopping watches instead of training on it."""


@dataclass(frozen=True)
class Task:
    """What to adapt to. `labels` in label order; `test` holds samples that `train` does not, and may be empty."""

    labels: tuple[str, ...]
    train: Sequence[Sample]
    test: Sequence[Sample]
    evaluated_on: str | None
    """Where the test samples come from, in words for the reader of the metrics."""
    shared_images: int = 0
    """How many test images were left out of `test` because they are trained on."""


@dataclass(frozen=True, eq=False)
class Adaptation:
    """The result: the container to store, its delta as decoded from it, and the metrics of that decoded delta."""

    container: bytes
    delta: SparseDelta
    header: DeltaHeader
    metrics: dict[str, Any] = field(default_factory=dict)


def adapt(
    base: Base,
    task: Task,
    config: TrainingConfig,
    limits: DataLimits,
    observe: Observer,
    checkpoints: Checkpoints | None = None,
) -> Adaptation:
    """Select, train, encode, and measure what was encoded. The base is bit-identical afterwards, whatever happens.

    checkpoints: where an earlier run of the same task left its state, and this one leaves its own.

    Raises InvalidInput for labels that the base cannot read or tell apart (clip/labels.py), InvalidConfig,
    InvalidImage, TrainingDiverged, and whatever `observe` raises.
    """
    check_labels(base, task.labels, config.template)
    clock = _Clock()
    kept, validation = _validation_split(task.train, config)
    trained, watched, tested = (
        PixelLoader(part, base.pixels, limits, side=base.image_side) for part in (kept, validation, task.test)
    )
    meter = _meter(len(kept), len(task.test), config, observe)
    key = training_key(base, task.labels, kept, config)
    state = _latest(checkpoints, key)
    with clock.phase("evaluation"):
        before = _measure(base, tested, task, config, meter)
    with clock.phase("selection"):
        indices = select_for(base, trained, task.labels, config, meter) if state is None else state.indices.numpy()
    training = Training(base, trained, task.labels, indices, config, validation=watched)
    if state is not None:
        training.resume(state)
        meter.advance("selecting", len(kept))
        meter.advance("training", state.step * config.batch_size, step=state.step)
    elif checkpoints is not None:
        checkpoints.save(training.state().encode(key))
    with clock.phase("training"):
        delta = training.run(meter, checkpoints, key)
    container = encode(delta, _header(base, task, config, {}))
    stored, _ = decode(container, max_bytes=len(container))
    with clock.phase("evaluation"), applied(base, stored):
        after = _measure(base, tested, task, config, meter)
    metrics = _metrics(task, before, after, clock.seconds) | _entries(base, config, stored)
    header = _header(base, task, config, metrics)
    return Adaptation(encode(stored, header), stored, header, metrics)


def _latest(checkpoints: Checkpoints | None, key: str) -> TrainingState | None:
    """What an earlier run left, if it can be used."""
    container = checkpoints.load() if checkpoints is not None else None
    return TrainingState.decode(container, key) if container is not None else None


def _validation_split(samples: Sequence[Sample], config: TrainingConfig) -> tuple[list[Sample], list[Sample]]:
    """What to train on, and what early stopping watches. Both are training images: no test image decides anything."""
    if config.patience_epochs <= 0:
        return list(samples), []
    contents = [sample.content() for sample in samples]
    kept, watched = stratified_split([sample.label for sample in samples], contents, VALIDATION_SHARE)
    return [samples[position] for position in kept], [samples[position] for position in watched]


@contextmanager
def applied(base: Base, delta: SparseDelta) -> Iterator[None]:
    """The adapted model within the context, the base again after it."""
    device = base.device
    indices, values = torch.from_numpy(delta.indices).to(device), torch.from_numpy(delta.values).to(device)
    with base.flat.added(indices, values):
        yield


def _meter(images: int, test_images: int, config: TrainingConfig, observe: Observer) -> WorkMeter:
    steps = steps_per_epoch(images, config.batch_size)
    total = images + config.epochs * images + 2 * FORWARD_SHARE * test_images
    return WorkMeter(total=total, steps=config.epochs * steps, observe=observe)


def _measure(
    base: Base, loader: PixelLoader, task: Task, config: TrainingConfig, meter: WorkMeter
) -> Evaluation | None:
    if not len(loader):
        return None
    return evaluate(base, loader, task.labels, config.template, config.batch_size, meter)


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


def _metrics(
    task: Task, before: Evaluation | None, after: Evaluation | None, seconds: dict[str, float]
) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "zero_shot_accuracy": before.accuracy if before else None,
        "accuracy": after.accuracy if after else None,
        "train_images": len(task.train),
        "test_images": len(task.test),
        "shared_images": task.shared_images,
        "evaluated_on": task.evaluated_on,
        "seconds": {phase: round(spent, 3) for phase, spent in seconds.items()},
    }
    if before and after:
        metrics["confusion"] = {
            "labels": list(task.labels),
            "zero_shot": before.confusion.tolist(),
            "adapted": after.confusion.tolist(),
        }
    return metrics


def _entries(base: Base, config: TrainingConfig, delta: SparseDelta) -> dict[str, int]:
    """How many entries the density stands for, and how many were selected: less where fewer have a gradient."""
    return {"requested_entries": math.floor(config.density * base.parameter_count), "selected_entries": len(delta)}


class _Clock:
    """Seconds spent in each phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
