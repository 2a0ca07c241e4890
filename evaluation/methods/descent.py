"""The training loop that methods share: AdamW or SGD down a half cosine, on any parameters and any loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.loading import Images
from evaluation.methods.method import FitConfig
from saft_core.clip.backbone import Base
from saft_core.errors import TrainingDiverged
from saft_core.tuning.costs import steps_per_epoch
from saft_core.tuning.precision import passes
from saft_core.tuning.training import batches

Loss = Callable[[Sequence[int], int], Tensor]
"""The loss, a scalar, of the images at these positions in this step."""
SGD_MOMENTUM = 0.9


def descend(
    base: Base,
    parameters: Iterable[nn.Parameter],
    loss: Loss,
    images: int,
    config: FitConfig,
    *,
    sgd: bool = False,
    after_backward: Callable[[], None] | None = None,
    after_step: Callable[[int, int], None] | None = None,
) -> None:
    """Minimise `loss` over all epochs of `images` images.

    sgd: stochastic gradient descent with momentum, as prompt learning has it, instead of AdamW.
    after_backward: carries on gradients that the loss left at leaves, such as `ClassPrompts.backward`.
    after_step: called with the steps taken and those of the whole.
    Raises TrainingDiverged when the loss is no longer finite.
    """
    trained = list(parameters)
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(trained, config.learning_rate, SGD_MOMENTUM, weight_decay=config.weight_decay)
        if sgd
        else torch.optim.AdamW(trained, config.learning_rate, weight_decay=config.weight_decay)
    )
    steps = config.epochs * steps_per_epoch(images, config.batch_size)
    with torch.enable_grad(), trainable(trained):
        for step, positions in enumerate(batches(images, config)):
            optimizer.param_groups[0]["lr"] = 0.5 * config.learning_rate * (1 + math.cos(math.pi * step / steps))
            optimizer.zero_grad(set_to_none=True)
            with passes(base.device):
                value = loss(positions, step)
                _check(value, step, config)
                value.backward()
                if after_backward:
                    after_backward()
            optimizer.step()
            if after_step:
                after_step(step + 1, steps)


def _check(loss: Tensor, step: int, config: FitConfig) -> None:
    if not math.isfinite(float(loss.detach())):
        raise TrainingDiverged(
            f"the loss is no longer a number at step {step + 1}", step=step + 1, learning_rate=config.learning_rate
        )


@contextmanager
def trainable(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Only within the context do these need a gradient, and none is left after it."""
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
            parameter.grad = None


def seen(base: Base, images: Images, config: FitConfig) -> Callable[[Sequence[int], int], Tensor]:
    """Unit embeddings, float32 (n, embed_dim), of the images at these positions as this step sees them.

    `embeddings` is for a frozen image tower.
    """
    return lambda positions, step: base.encode_pixels(images.views(positions, config.augment, (config.seed, step)))


def embeddings(base: Base, images: Images, config: FitConfig) -> Callable[[Sequence[int], int], Tensor]:
    """Unit embeddings, float32 (n, embed_dim), by a frozen image tower, of the images that a step sees."""
    if config.augment == "none":
        return lambda positions, _: images.frozen[list(positions)]
    return torch.no_grad()(seen(base, images, config))


def of_embeddings(base: Base, images: Images, config: FitConfig, scores: Callable[[Tensor], Tensor]) -> Loss:
    """The cross-entropy, outside autocast, of the `scores` of the embeddings that a frozen image tower gives a step."""
    embed, targets = embeddings(base, images, config), images.targets

    def loss(positions: Sequence[int], step: int) -> Tensor:
        features = embed(positions, step).float()
        with torch.autocast(base.device.type, enabled=False):
            return F.cross_entropy(scores(features), targets[positions])

    return loss
