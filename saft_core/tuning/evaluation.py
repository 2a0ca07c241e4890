"""Accuracy on images that were not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import class_weights, logits
from saft_core.data.loaders import PixelLoader
from saft_core.tuning.progress import WorkMeter

FORWARD_SHARE = 1 / 3
"""Work of a forward pass alone, as a share of a forward and backward."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """confusion: int64 (classes, classes), rows are true classes, columns the predicted ones."""

    confusion: npt.NDArray[np.int64]

    @property
    def images(self) -> int:
        """How many images were classified."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the true one (top-1)."""
        return float(np.trace(self.confusion) / self.confusion.sum())


@torch.inference_mode()
def evaluate(
    base: Base, loader: PixelLoader, labels: tuple[str, ...], template: str, batch_size: int, meter: WorkMeter
) -> Evaluation:
    """Classify every sample of `loader` with the model as it stands now, against all `labels`."""
    weights = class_weights(base, labels, template)
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for start in range(0, len(loader), batch_size):
        pixels, targets = loader.batch(range(start, min(start + batch_size, len(loader))))
        predicted = logits(base, pixels, weights).argmax(dim=1)
        np.add.at(confusion, (targets.cpu().numpy(), predicted.cpu().numpy()), 1)
        meter.advance("evaluating", len(targets) * FORWARD_SHARE)
    return Evaluation(confusion)
