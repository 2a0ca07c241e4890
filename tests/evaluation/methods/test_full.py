from __future__ import annotations

from functools import partial

import pytest
import torch

from evaluation.methods import full
from evaluation.methods.dense import DenseFit
from evaluation.methods.full import FullFineTuning
from saft_core.clip.zero_shot import fill
from saft_core.errors import TrainingDiverged
from saft_core.tuning.class_prompts import ClassPrompts
from saft_core.tuning.training import batches
from tests.evaluation.methods.fitting import QUICK, TEMPLATE, check_fit, coloured, quickly
from tests.fixtures.models import TOWERS, bits, make_base
from tests.fixtures.tasks import LABELS
from tests.saft_core.tuning.oracle import paper_training


def values_of(tower: str) -> torch.Tensor:
    fitted = quickly(FullFineTuning(), make_base(tower, dtype=torch.float64))
    assert isinstance(fitted, DenseFit)
    return fitted.values


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_it_is_dense_training_of_everything(tower: str) -> None:
    base = make_base(tower, dtype=torch.float64)
    expected = paper_training(
        base, coloured(base).loader, [fill(TEMPLATE, LABELS)], torch.ones(base.parameter_count, dtype=torch.bool),
        batches(12, QUICK), steps=12, learning_rate=QUICK.learning_rate, weight_decay=QUICK.weight_decay,
    )  # fmt: skip
    torch.testing.assert_close(values_of(tower), expected, rtol=0, atol=1e-4 * QUICK.learning_rate)


def test_prompts_in_several_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = values_of("vit")
    monkeypatch.setattr(full, "ClassPrompts", partial(ClassPrompts, tokens_per_chunk=1))
    torch.testing.assert_close(values_of("vit"), whole, rtol=0, atol=1e-4 * QUICK.learning_rate)


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_it_learns_and_leaves_the_base(tower: str) -> None:
    base = make_base(tower)
    assert check_fit(FullFineTuning(), base).trainable == base.parameter_count


def test_a_fit_that_diverges_leaves_the_base() -> None:
    base = make_base("vit")
    before = bits(base.flat.buffer)
    with pytest.raises(TrainingDiverged):
        quickly(FullFineTuning(), base, learning_rate=1e30)
    assert bits(base.flat.buffer) == before
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
