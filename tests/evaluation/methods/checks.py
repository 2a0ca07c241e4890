"""What holds of every rival that trains, beside what `fitting` checks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from evaluation.loading import Images
from evaluation.methods.method import FitConfig, Fitted, Method, ZeroShotFit
from saft_core.clip.backbone import Base
from saft_core.errors import TrainingDiverged
from saft_core.templates import Template
from tests.evaluation.methods.fitting import QUICK, TEMPLATE, check_fit, coloured, quickly
from tests.fixtures.models import bits
from tests.fixtures.tasks import LABELS


def config(**changes: object) -> FitConfig:
    """QUICK but for `changes`."""
    return replace(QUICK, **changes)  # type: ignore[arg-type]


@torch.no_grad()
def scores(fitted: Fitted, images: Images, labels: tuple[str, ...] = LABELS, template: Template = TEMPLATE) -> Tensor:
    """Logits, (N, classes), of all images by a fit."""
    with fitted.active():
        scorer = fitted.scorer(labels, template)
        assert scorer is not None
        return scorer(images.batch(range(len(images))))


def zero_shot(base: Base, images: Images, labels: tuple[str, ...] = LABELS) -> Tensor:
    """Logits, (N, classes), of all images by the base."""
    return scores(ZeroShotFit(base), images, labels)


def state(base: Base) -> tuple[object, ...]:
    """All that a fit may not change: bits, where the parameters lie and in which order, the kinds of the modules."""
    return (
        base.flat.sha256(),
        [(name, parameter.data_ptr()) for name, parameter in base.model.named_parameters()],
        [(name, type(module)) for name, module in base.model.named_modules()],
    )


def is_at_rest(base: Base) -> bool:
    """Whether no parameter needs or has a gradient, and no hook or parametrization is left."""
    idle = not any(parameter.requires_grad or parameter.grad is not None for parameter in base.model.parameters())
    return idle and not any(_is_hooked(module) for module in base.model.modules())


def _is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or parametrize.is_parametrized(module))


def check_training(method: Method, base: Base, **changes: object) -> Fitted:
    """It learns, repeats itself for the same seed only, and leaves nothing in the base, also when its loss explodes."""
    before = state(base)
    fitted = check_fit(method, base, **changes)
    other = quickly(method, base, seed=1, **changes)  # type: ignore[arg-type]
    assert bits(scores(other, coloured(base))) != bits(scores(fitted, coloured(base)))
    assert state(base) == before
    assert is_at_rest(base)
    with pytest.raises(TrainingDiverged):
        quickly(method, base, learning_rate=float("inf"))
    assert state(base) == before
    assert is_at_rest(base)
    return fitted
