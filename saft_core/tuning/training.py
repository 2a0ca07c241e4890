"""Adaptation: fine-tune the selected entries of the base, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from saft_core.clip.backbone import Base
from saft_core.clip.flat import IndexArray
from saft_core.clip.zero_shot import class_weights, logits
from saft_core.data.loaders import PixelLoader
from saft_core.delta import SparseDelta
from saft_core.errors import TrainingDiverged
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.sparse import SparseParameters


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Optimizer steps in one pass over the samples; the last, smaller batch counts."""
    return math.ceil(samples / batch_size)


def train(
    base: Base,
    loader: PixelLoader,
    labels: tuple[str, ...],
    indices: IndexArray,
    config: TrainingConfig,
    meter: WorkMeter,
) -> SparseDelta:
    """Fine-tune the entries at `indices` with AdamW and a cosine schedule; the base is restored bit by bit at the end.

    Weight decay acts on the selected entries only. The same seed gives the same delta on the same machine.
    Raises TrainingDiverged when the loss is no longer finite, and whatever the meter's observer raises.
    """
    parameters = SparseParameters(base.flat, indices)
    steps = config.epochs * steps_per_epoch(len(loader), config.batch_size)
    optimizer = torch.optim.AdamW([parameters.values], lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    try:
        with torch.enable_grad(), base.flat.trainable(parameters.slot_mask), base.flat.gradient() as gradient:
            for step, positions in enumerate(_batches(len(loader), config), start=1):
                gradient.zero_()
                loss = _backward(base, loader, positions, labels, config.template)
                if not math.isfinite(loss):
                    raise TrainingDiverged(step=step, learning_rate=config.learning_rate)
                parameters.pull_gradient(gradient)
                optimizer.step()
                schedule.step()
                parameters.push()
                meter.advance("training", len(positions), step=step, loss=loss)
        return SparseDelta(indices, _finite(parameters.differences()))
    finally:
        parameters.restore()


def _batches(samples: int, config: TrainingConfig) -> Iterator[list[int]]:
    """Positions of each step: every sample once an epoch, in an order drawn from the seed."""
    generator = np.random.default_rng(config.seed)
    for _ in range(config.epochs):
        order = generator.permutation(samples)
        for start in range(0, samples, config.batch_size):
            yield order[start : start + config.batch_size].tolist()


def _backward(base: Base, loader: PixelLoader, positions: list[int], labels: tuple[str, ...], template: str) -> float:
    """Cross-entropy over the class prompts, mean over the batch; gradients go where the flat gradient collects them."""
    pixels, targets = loader.batch(positions)
    loss = nn.functional.cross_entropy(logits(base, pixels, class_weights(base, labels, template)), targets)
    if loss.requires_grad:
        loss.backward()
    return float(loss.detach())


def _finite(
    values: np.ndarray[tuple[int], np.dtype[np.float32]],
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    if not np.isfinite(values).all():
        raise TrainingDiverged
    return values
