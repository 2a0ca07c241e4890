"""Adaptation: fine-tune the selected entries of the base, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.flat import IndexArray
from saft_core.data.augment import random_view
from saft_core.data.loaders import PixelLoader
from saft_core.delta import SparseDelta
from saft_core.errors import TrainingDiverged
from saft_core.tuning.checkpoint import Checkpoints, TrainingState
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.costs import step_work, steps_per_epoch
from saft_core.tuning.early_stopping import EarlyStopping
from saft_core.tuning.loss import cross_entropy, log_priors
from saft_core.tuning.memory import images_per_pass
from saft_core.tuning.precision import logits, passes
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.sparse import SparseParameters
from saft_core.tuning.texts import ClassPrompts

EXPLOSION_FACTOR = 50
"""A loss so many times that of chance, or of the first step if that is higher, will not come back."""


class Training:
    """One fine-tune of the entries at `indices` (d,): AdamW with a cosine schedule on the cross-entropy.

    Where classes have unlike numbers of images their logits are adjusted (loss.py), so that each counts the same.
    Weight decay acts on the selected entries only. The same seed gives the same delta on the same machine.
    validation: images for early stopping, which `config.patience_epochs` turns on.
    carried: kept in every checkpoint for whoever goes on from it, tensors by name.
    """

    def __init__(
        self,
        base: Base,
        loader: PixelLoader,
        labels: tuple[str, ...],
        indices: IndexArray,
        config: TrainingConfig,
        *,
        validation: PixelLoader | None = None,
        carried: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._base, self._loader, self._labels, self._indices, self._config = base, loader, labels, indices, config
        self._validation = validation
        self._carried = carried or {}
        self._stopping = EarlyStopping(config.patience_epochs) if validation is not None and len(validation) else None
        self._per_epoch = steps_per_epoch(len(loader), config.batch_size)
        self._steps = config.epochs * self._per_epoch
        self._parameters = SparseParameters(base.flat, indices)
        self._optimizer = torch.optim.AdamW(
            [self._parameters.values], lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._priors = log_priors(loader.targets(range(len(loader))), len(labels))
        self._step = self._first_step = 0
        self._ceiling = math.inf
        self._images: dict[int, Tensor] = {}

    def run(self, meter: WorkMeter, checkpoints: Checkpoints | None = None, key: str = "") -> SparseDelta:
        """Train to the end; the base is restored bit by bit, whatever happens.

        Raises TrainingDiverged when the loss explodes or is no longer finite, and what the meter's observer raises.
        """
        with self._parameters.trained():
            self._parameters.push()
            prompts = ClassPrompts(self._base, self._labels, self._config.template)
            for positions in islice(batches(len(self._loader), self._config), self._step, None):
                if self._is_over():
                    break
                work = step_work(self._step, len(self._loader), self._config, self._first_step)
                loss = self._take_step(prompts, positions)
                meter.advance(work, step=self._step, loss=loss)
                if checkpoints is not None and checkpoints.due():
                    checkpoints.save(self.state().encode(key))
            return self._delta()

    def state(self) -> TrainingState:
        """What another process needs to go on from here."""
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
        """Steps taken, by all attempts."""
        return self._step

    def resume(self, state: TrainingState) -> None:
        """Go on from `state`, of a training with the same arguments."""
        device = self._base.device
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

    def _take_step(self, prompts: ClassPrompts, positions: list[int]) -> float:
        self._parameters.zero_gradient()
        loss = self._backward(prompts, positions)
        self._check(loss)
        share = self._step / self._steps
        self._optimizer.param_groups[0]["lr"] = 0.5 * self._config.learning_rate * (1 + math.cos(math.pi * share))
        self._optimizer.step()
        self._parameters.push()
        self._step += 1
        if self._stopping and self._step % self._per_epoch == 0:
            self._stopping.note(self._validation_loss(prompts), self._parameters.values)
        return loss

    def _backward(self, prompts: ClassPrompts, positions: list[int]) -> float:
        """The loss over the class prompts, mean over the batch; its gradient goes to the selected entries."""
        with passes(self._base.device):
            texts = prompts.encode()
            parts = np.array_split(np.array(positions), math.ceil(len(positions) / self._images_per_pass))
            total = sum(self._backward_part(part.tolist(), len(positions), texts) for part in parts)
            prompts.backward(texts)
        return total

    @cached_property
    def _images_per_pass(self) -> int:
        """Asked for while the selected entries are trained: what a forward keeps depends on them."""
        return images_per_pass(self._base, self._loader.batch([0])[0])

    def _backward_part(self, positions: list[int], of: int, texts: Tensor) -> float:
        """What the images at `positions` add to the mean over a batch of `of`, and to its gradient."""
        images, targets = self._encode(positions)
        scores = logits(self._base.logit_scale, images, texts)
        loss = cross_entropy(scores, targets, self._priors) / of
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())

    def _encode(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        """Unit embeddings (N, embed_dim) and targets. Where nothing under them can change, each is computed once."""
        if all(position in self._images for position in positions):
            known = torch.stack([self._images[position] for position in positions])
            return known, self._loader.targets(positions).to(known.device)
        pixels, targets = self._pixels(positions)
        features = self._base.encode_pixels(pixels)
        if not features.requires_grad and self._config.augment == "none":
            self._images.update(zip(positions, features, strict=True))
        return features, targets

    def _pixels(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        """What this step sees of the images at `positions`, whichever process takes the step."""
        augment, seed, step, side = self._config.augment, self._config.seed, self._step, self._base.image_side
        if augment == "none":
            return self._loader.batch(positions)
        return self._loader.views(positions, lambda image, at: random_view(image, side, augment, (seed, step, at)))

    def _check(self, loss: float) -> None:
        if self._ceiling == math.inf and math.isfinite(loss):
            self._ceiling = EXPLOSION_FACTOR * max(loss, math.log(max(2, len(self._labels))))
        if not loss <= self._ceiling or not math.isfinite(loss):
            what = f"the loss rose to {loss:.3g}" if math.isfinite(loss) else "the loss is no longer a number"
            raise TrainingDiverged(
                f"{what} at step {self._step + 1}; try a learning rate below {self._config.learning_rate}",
                step=self._step + 1,
                learning_rate=self._config.learning_rate,
            )

    @torch.no_grad()
    def _validation_loss(self, prompts: ClassPrompts) -> float:
        assert self._validation is not None  # noqa: S101 (there is no early stopping without)
        total, count, size = 0.0, len(self._validation), self._config.batch_size
        with passes(self._base.device):
            texts = prompts.encode()
            for start in range(0, count, size):
                pixels, targets = self._validation.batch(range(start, min(start + size, count)))
                scores = logits(self._base.logit_scale, self._base.encode_pixels(pixels), texts)
                total += float(cross_entropy(scores, targets, self._priors))
        return total / count

    def _delta(self) -> SparseDelta:
        if self._stopping and self._stopping.best is not None:
            self._parameters.load(self._stopping.best)
        values = self._parameters.differences()
        if not np.isfinite(values).all():
            raise TrainingDiverged
        return SparseDelta(self._indices, values)


def train(
    base: Base,
    loader: PixelLoader,
    labels: tuple[str, ...],
    indices: IndexArray,
    config: TrainingConfig,
    meter: WorkMeter,
) -> SparseDelta:
    """One training from start to end, without checkpoints; see `Training`."""
    return Training(base, loader, labels, indices, config).run(meter)


def batches(samples: int, config: TrainingConfig) -> Iterator[list[int]]:
    """Positions of each step: every sample once an epoch, in an order drawn from the seed."""
    generator = np.random.default_rng(config.seed)
    for _ in range(config.epochs):
        order = generator.permutation(samples)
        for start in range(0, samples, config.batch_size):
            yield order[start : start + config.batch_size].tolist()
