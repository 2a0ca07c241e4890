"""What the tests of several methods share: a few coloured images, a quick fit, and what it says about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.loading import Images
from evaluation.methods.method import Examples, FitConfig, Fitted, Method, ZeroShot
from saft_core.clip.backbone import Base
from tests.fixtures.models import bits
from tests.fixtures.tasks import LABELS, colour_samples

TEMPLATE = "a photo of a {}."
QUICK = FitConfig(
    learning_rate=1e-3, epochs=4, batch_size=4, weight_decay=0.1, density=0.01, augment="none", seed=0
)  # fmt: skip


def coloured(base: Base, per_class: int = 4, seed: int = 0) -> Images:
    """So many images a class, encoded by the base as it stands."""
    images = Images(base, colour_samples(per_class, seed))
    images.freeze()
    return images


def quickly(method: Method, base: Base, *, held: Images | None = None, **changes: Any) -> Fitted:
    """A fit on four images a class with QUICK but for `changes`."""
    config = replace(QUICK, **changes)
    return method.fit(base, Examples(coloured(base), LABELS, TEMPLATE, held), config)


@torch.no_grad()
def logits_of(fitted: Fitted, images: Images) -> Tensor:
    """Of all images, (N, classes)."""
    with fitted.active():
        scorer = fitted.scorer(LABELS, TEMPLATE)
        assert scorer is not None
        return scorer(images.batch(range(len(images))))


def loss_of(fitted: Fitted, images: Images) -> float:
    """The mean cross-entropy."""
    return float(F.cross_entropy(logits_of(fitted, images), images.targets))


def check_fit(method: Method, base: Base, **changes: Any) -> Fitted:
    """What holds of every method that trains: it learns its shots, repeats itself, and leaves the base as it was."""
    base.model.requires_grad_(False)
    before = base.flat.sha256()
    untrained = loss_of(ZeroShot().fit(base, Examples(coloured(base), LABELS, TEMPLATE), QUICK), coloured(base))
    fitted = quickly(method, base, **changes)
    assert base.flat.sha256() == before
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in base.model.parameters())
    assert loss_of(fitted, coloured(base)) < untrained
    again = quickly(method, base, **changes)
    assert bits(logits_of(again, coloured(base))) == bits(logits_of(fitted, coloured(base)))
    try:
        with fitted.active():
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert base.flat.sha256() == before
    return fitted
