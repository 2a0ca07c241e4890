"""What a model answers on images that were not trained on, image by image, so that two models can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import class_weights, logits
from saft_core.data.loaders import PixelLoader
from saft_core.delta import SparseDelta
from saft_core.tuning.progress import WorkMeter

FORWARD_SHARE = 1 / 3
"""Work of a forward pass alone, as a share of a forward and backward."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Answers on N images. targets and predicted: class positions, int64 (N,)."""

    targets: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Of each image, (N,), whether its most probable class is the true one."""
        same: npt.NDArray[np.bool_] = self.predicted == self.targets
        return same

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the true one (top-1)."""
        return float(self.right.mean())

    def confusion(self, classes: int) -> npt.NDArray[np.int64]:
        """Counts, int64 (classes, classes): rows are true classes, columns the predicted ones."""
        counts = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(counts, (self.targets, self.predicted), 1)
        return counts


@torch.inference_mode()
def evaluate(
    base: Base, loader: PixelLoader, labels: tuple[str, ...], template: str, batch_size: int, meter: WorkMeter
) -> Evaluation:
    """Classify every sample of `loader`, one or more, with the model as it stands now, against all `labels`."""
    weights = class_weights(base, labels, template)
    rows: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(loader), batch_size):
        pixels, targets = loader.batch(range(start, min(start + batch_size, len(loader))))
        rows.append((targets, logits(base, pixels, weights).argmax(dim=1)))
        meter.advance("evaluating", len(targets) * FORWARD_SHARE)
    return Evaluation(*(torch.cat(column).cpu().numpy() for column in zip(*rows, strict=True)))


@contextmanager
def applied(base: Base, delta: SparseDelta, strength: float = 1.0) -> Iterator[None]:
    """The model adapted by `strength` times the delta within the context, the base bit by bit after it."""
    device = base.device
    indices, values = torch.from_numpy(delta.indices).to(device), torch.from_numpy(delta.values).to(device)
    with base.flat.added(indices, values if strength == 1 else strength * values):
        yield
