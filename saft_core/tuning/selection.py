"""Selection: which parameters a task may change (SAFT, arXiv 2407.03036, equations 2 and 3).

Equation 2 averages the gradient over all training samples first; equation 3 keeps the entries whose average has the
largest magnitude. The order matters: an entry that every sample pulls its own way averages out and is not kept.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from saft_core.clip.backbone import Base
from saft_core.clip.flat import FlatParameters, IndexArray
from saft_core.clip.zero_shot import class_weights, logits
from saft_core.data.loaders import PixelLoader
from saft_core.errors import InvalidConfig, TrainingDiverged
from saft_core.tuning.config import Encoders, TrainingConfig
from saft_core.tuning.progress import WorkMeter


def mean_gradient(
    base: Base, loader: PixelLoader, labels: tuple[str, ...], template: str, batch_size: int, meter: WorkMeter
) -> Tensor:
    """Equation 2: the gradient of the cross-entropy, averaged over all samples; (D,), on the base's device."""
    every_slot = np.ones(len(base.flat.slots), dtype=bool)
    with base.flat.trainable(every_slot), base.flat.gradient() as gradient:
        for positions in np.array_split(np.arange(len(loader)), math.ceil(len(loader) / batch_size)):
            pixels, targets = loader.batch(positions.tolist())
            scores = logits(base, pixels, class_weights(base, labels, template))
            (nn.functional.cross_entropy(scores, targets, reduction="sum") / len(loader)).backward()
            meter.advance("selecting", len(positions))
        return gradient


def select(gradient: Tensor, density: float, eligible: npt.NDArray[np.bool_] | None = None) -> IndexArray:
    """Equation 3: the floor(density * D) entries of largest magnitude as sorted flat indices, int64 (d,).

    gradient: (D,) mean gradient. eligible: bool (D,), where entries may be chosen; D counts all entries all the same.
    Of equal magnitudes the lower index is kept, so that the answer never depends on the machine.

    Raises InvalidConfig when nothing would be selected, TrainingDiverged when the gradient is not finite.
    """
    count = math.floor(density * gradient.numel())
    if count < 1:
        raise InvalidConfig(f"density {density} selects none of {gradient.numel()} parameters; raise it")
    magnitude = gradient.abs().cpu().numpy()
    if not np.isfinite(magnitude).all():
        raise TrainingDiverged("the gradient of the base is not finite on these images")
    if eligible is not None:
        magnitude = np.where(eligible, magnitude, -1.0)
        if count > int(eligible.sum()):
            raise InvalidConfig(f"density {density} selects more entries than the chosen encoder has; lower it")
    return _largest(magnitude, count)


def _largest(magnitude: npt.NDArray[np.floating], count: int) -> IndexArray:
    """Indices of the `count` largest values, sorted; ties go to the lower index."""
    threshold = np.partition(magnitude, len(magnitude) - count)[len(magnitude) - count]
    above = np.flatnonzero(magnitude > threshold)
    level = np.flatnonzero(magnitude == threshold)[: count - len(above)]
    return np.sort(np.concatenate([above, level])).astype(np.int64)


def eligible_entries(flat: FlatParameters, encoders: Encoders) -> npt.NDArray[np.bool_] | None:
    """bool (D,): the entries of the chosen tower; None stands for all of them.

    The image tower is what open_clip calls `visual`, the text tower all the rest but the logit scale and bias.
    """
    if encoders == "both":
        return None
    towers = [_tower(slot.name) == encoders for slot in flat.slots]
    return np.repeat(towers, [slot.size for slot in flat.slots])


def _tower(parameter_name: str) -> str:
    if parameter_name.startswith("visual."):
        return "image"
    return "neither" if parameter_name.startswith("logit_") else "text"


def select_for(
    base: Base, loader: PixelLoader, labels: tuple[str, ...], config: TrainingConfig, meter: WorkMeter
) -> IndexArray:
    """Both equations for one task: sorted flat indices of the entries it may change, int64 (d,)."""
    with torch.enable_grad():
        gradient = mean_gradient(base, loader, labels, config.template, config.batch_size, meter)
    return select(gradient, config.density, eligible_entries(base.flat, config.encoders))
