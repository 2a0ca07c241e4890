"""Adaptation: fine-tune the selected entries of a model, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.flat import IndexArray
from saft_core.delta import SparseDelta
from saft_core.errors import TrainingDiverged
from saft_core.sparse.parameters import SparseParameters
from saft_core.tuning.checkpoint import Checkpoints, TrainingState
from saft_core.tuning.config import BatchOrder, Schedule, TrainingConfig
from saft_core.tuning.costs import step_work, steps_per_epoch
from saft_core.tuning.early_stopping import EarlyStopping
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.objective import Objective
from saft_core.tuning.progress import WorkMeter

EXPLOSION_FACTOR = 50
"""A loss this many times that of chance, or of the first step if that is higher, counts as diverged."""


class Training:
    """One fine-tune of the entries at `indices` (d,) by any objective: AdamW with a cosine schedule.

    Weight decay acts on the selected entries only. The same seed gives the same delta on the same machine.
    validation: gives the loss that early stopping watches; None trains to the end.
    carried: tensors by name that every checkpoint keeps for the attempt that resumes from it.
    """

    def __init__(
        self,
        objective: Objective,
        indices: IndexArray,
        schedule: Schedule,
        *,
        validation: Callable[[], float] | None = None,
        carried: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._objective, self._indices, self._schedule = objective, indices, schedule
        self._validation_loss = validation
        self._carried = carried or {}
        self._stopping = EarlyStopping(schedule.patience_epochs) if validation is not None else None
        self._per_epoch = steps_per_epoch(len(objective), schedule.batch_size)
        self._steps = schedule.epochs * self._per_epoch
        self._parameters = SparseParameters(objective.flat, indices)
        self._optimizer = torch.optim.AdamW(
            [self._parameters.values], lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self._step = self._first_step = 0
        self._ceiling = math.inf

    def run(self, meter: WorkMeter, checkpoints: Checkpoints | None = None, key: str = "") -> SparseDelta:
        """Train to the end; the base is restored bit by bit, whatever happens.

        Raises TrainingDiverged when the loss explodes or is no longer finite, and what the meter's observer raises.
        """
        with self.trained():
            for positions in islice(batches(len(self._objective), self._schedule), self._step, None):
                if self._is_over():
                    break
                work = step_work(self._step, len(self._objective), self._schedule, self._first_step)
                loss = self.take_step(positions)
                meter.advance(work, step=self._step, loss=loss)
                if checkpoints is not None and checkpoints.due():
                    checkpoints.save(self.state().encode(key))
            return self._delta()

    @contextmanager
    def trained(self) -> Iterator[None]:
        """Within the context the model has the values of this training; after it the base, bit by bit."""
        with self._parameters.trained():
            self._parameters.push()
            yield

    def state(self) -> TrainingState:
        """The state that another process needs to resume from here."""
        values = self._parameters.values.detach()
        moments = self._optimizer.state[self._parameters.values]
        best, validation = self._stopping.state() if self._stopping else (torch.empty(0), torch.zeros(2))
        return TrainingState(
            step=self._step,
            indices=torch.from_numpy(self._indices),
            values=values,
            first_moment=moments.get("exp_avg", torch.zeros_like(values)),
            second_moment=moments.get("exp_avg_sq", torch.zeros_like(values)),
            best=best,
            validation=validation,
            carried=self._carried,
        )

    @property
    def step(self) -> int:
        """Optimizer steps taken, those of earlier attempts included."""
        return self._step

    def resume(self, state: TrainingState) -> None:
        """Resume from `state`, of a training with the same arguments."""
        device = self._objective.flat.buffer.device
        self._step = self._first_step = state.step
        with torch.no_grad():
            self._parameters.values.copy_(state.values)
        self._optimizer.state[self._parameters.values] = {
            "step": torch.tensor(float(state.step)),
            "exp_avg": state.first_moment.to(device),
            "exp_avg_sq": state.second_moment.to(device),
        }
        if self._stopping:
            self._stopping.resume(state.best.to(device), state.validation)

    def _is_over(self) -> bool:
        return self._stopping is not None and self._stopping.over

    def take_step(self, positions: Sequence[int]) -> float:
        """One optimizer step on the samples at `positions`, within `trained`; returns its loss.

        Raises TrainingDiverged when the loss explodes or is no longer finite.
        """
        self._parameters.zero_gradient()
        loss = self._objective.backward(positions, step=self._step)
        self._check(loss)
        self._optimizer.param_groups[0]["lr"] = cosine(self._schedule.learning_rate, self._step, self._steps)
        self._optimizer.step()
        self._parameters.push()
        self._step += 1
        if self._stopping and self._validation_loss and self._step % self._per_epoch == 0:
            self._stopping.note(self._validation_loss(), self._parameters.values)
        return loss

    def _check(self, loss: float) -> None:
        if self._ceiling == math.inf and math.isfinite(loss):
            self._ceiling = EXPLOSION_FACTOR * max(loss, self._objective.chance)
        if not loss <= self._ceiling or not math.isfinite(loss):
            what = f"the loss rose to {loss:.3g}" if math.isfinite(loss) else "the loss is no longer a number"
            raise TrainingDiverged(
                f"{what} at step {self._step + 1}; try a learning rate below {self._schedule.learning_rate}",
                step=self._step + 1,
                learning_rate=self._schedule.learning_rate,
            )

    def _delta(self) -> SparseDelta:
        if self._stopping and self._stopping.best is not None:
            self._parameters.load(self._stopping.best)
        values = self._parameters.differences()
        if not np.isfinite(values).all():
            raise TrainingDiverged
        return SparseDelta(self._indices, values)


def train(objective: Objective, indices: IndexArray, schedule: Schedule, meter: WorkMeter | None = None) -> SparseDelta:
    """One training from start to end, without checkpoints, of any model; see `Training`."""
    return Training(objective, indices, schedule).run(meter or WorkMeter(lambda _: None))


def train_for(
    base: Base,
    loader: PixelLoader,
    labels: tuple[str, ...],
    indices: IndexArray,
    config: TrainingConfig,
    meter: WorkMeter,
) -> SparseDelta:
    """`train`, of a CLIP on labelled images."""
    return train(ClassPromptLoss(base, loader, labels, config), indices, config, meter)


def cosine(peak: float, step: int, steps: int) -> float:
    """The learning rate of the optimizer step number `step`, from 0, of `steps`: a half cosine from the peak down."""
    return 0.5 * peak * (1 + math.cos(math.pi * (step / steps)))


def batches(samples: int, order: BatchOrder) -> Iterator[list[int]]:
    """Positions of each step: every sample once an epoch, in an order drawn from the seed."""
    generator = np.random.default_rng(order.seed)
    for _ in range(order.epochs):
        drawn = generator.permutation(samples)
        for start in range(0, samples, order.batch_size):
            yield drawn[start : start + order.batch_size].tolist()
