"""What selection ranks entries by: one dense vector (D,), the only one that a fine-tune ever holds.

`mean_gradient` is SAFT (arXiv 2407.03036, equation 2): the average over all samples comes first, the magnitude after
it, so an entry that every sample pulls its own way averages out. `fisher` is the paper's ablation that squares first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.flat import FlatParameters
from saft_core.data.loaders import PixelLoader
from saft_core.tuning.costs import GRADIENT
from saft_core.tuning.loss import cross_entropy, log_priors
from saft_core.tuning.memory import images_per_pass
from saft_core.tuning.precision import logits, passes
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.texts import ClassPrompts

SlotMask = npt.NDArray[np.bool_]


def summed_gradient(flat: FlatParameters, losses: Iterable[Callable[[], Tensor]]) -> Tensor:
    """The gradient (D,) of the sum of any losses of any model; each is computed, and let go, in its turn."""
    with _gradient(flat, np.ones(len(flat.slots), dtype=bool)) as gradient:
        for loss in losses:
            loss().backward()
        return gradient


def mean_gradient(
    base: Base, loader: PixelLoader, prompts: ClassPrompts, batch_size: int, meter: WorkMeter, slots: SlotMask
) -> Tensor:
    """Equation 2 in one pass: the gradient of the loss, averaged over all samples; (D,), on the base's device.

    The prompts are encoded once, and once is their gradient carried back: it adds up over the images before. Only the
    marked `slots` get one, the others stay zero.
    """
    with _gradient(base.flat, slots) as gradient, passes(base.device):
        texts = prompts.encode()
        priors = log_priors(loader.targets(range(len(loader))), len(texts))
        size = min(batch_size, images_per_pass(base, loader.batch([0])[0]))
        for positions in np.array_split(np.arange(len(loader)), math.ceil(len(loader) / size)):
            _backward(base, loader, positions.tolist(), texts, priors, 1 / len(loader))
            meter.advance(GRADIENT, len(positions))
        prompts.backward(texts)
        return gradient


def fisher(base: Base, loader: PixelLoader, prompts: ClassPrompts, meter: WorkMeter, slots: SlotMask) -> Tensor:
    """The diagonal of the empirical Fisher information: the mean over samples of the squared gradient of one, (D,).

    Squares need each sample's own gradient, so this passes the samples and all prompts one at a time.
    """
    squares = torch.zeros_like(base.flat.buffer)
    priors = log_priors(loader.targets(range(len(loader))), len(prompts))
    for position in range(len(loader)):
        with _gradient(base.flat, slots) as gradient, passes(base.device):
            texts = prompts.encode()
            _backward(base, loader, [position], texts, priors, 1.0)
            prompts.backward(texts)
        squares.addcmul_(gradient, gradient, value=1 / len(loader))
        meter.advance(GRADIENT)
    return squares


@contextmanager
def _gradient(flat: FlatParameters, slots: SlotMask) -> Iterator[Tensor]:
    with torch.enable_grad(), flat.trainable(slots), flat.gradient() as gradient:
        yield gradient


def _backward(
    base: Base, loader: PixelLoader, positions: list[int], texts: Tensor, priors: Tensor | None, weight: float
) -> None:
    pixels, targets = loader.batch(positions)
    scores = logits(base.logit_scale, base.encode_pixels(pixels), texts)
    loss = cross_entropy(scores, targets, priors) * weight
    if loss.requires_grad:
        loss.backward()
