from __future__ import annotations

import pytest
import torch

from evaluation.methods.dense import DenseFit
from evaluation.methods.full import FullFineTuning
from evaluation.methods.wise_ft import WiseFt
from tests.evaluation.methods.fitting import check_fit, quickly
from tests.fixtures.models import bits, make_base


def test_at_nought_it_is_the_base_and_at_one_full_fine_tuning_bit_by_bit() -> None:
    base = make_base("vit")
    base.flat.buffer[:3] = -0.0
    before = bits(base.flat.buffer)
    full = DenseFit(base, base.flat.buffer + torch.randn(base.parameter_count), base.parameter_count)
    full.values[3:6] = -0.0
    with WiseFt(0.0).between(base, full).active():
        assert bits(base.flat.buffer) == before
    with WiseFt(1.0).between(base, full).active():
        assert bits(base.flat.buffer) == bits(full.values) != before
    assert bits(base.flat.buffer) == before


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.7])
def test_it_lies_between_and_what_did_not_move_does_not_move(alpha: float) -> None:
    base = make_base("vit")
    full = DenseFit(base, base.flat.buffer.clone(), base.parameter_count)
    full.values[100:200] += torch.randn(100)
    values = WiseFt(alpha).between(base, full).values
    torch.testing.assert_close(values, (1 - alpha) * base.flat.buffer + alpha * full.values)
    others = torch.ones(len(values), dtype=torch.bool)
    others[100:200] = False
    assert bits(values[others]) == bits(base.flat.buffer[others])


def test_a_full_fit_at_hand_gives_what_a_fit_of_its_own_gives() -> None:
    base = make_base("vit")
    full = quickly(FullFineTuning(), base)
    assert isinstance(full, DenseFit)
    own = quickly(WiseFt(), base)
    assert isinstance(own, DenseFit)
    assert bits(WiseFt().between(base, full).values) == bits(own.values) != bits(full.values)
    assert own.trainable == full.trainable == base.parameter_count


def test_it_learns_and_leaves_the_base() -> None:
    check_fit(WiseFt(), make_base("vit"))


def test_one_training_serves_both() -> None:
    assert WiseFt().hyperparameters == FullFineTuning().hyperparameters
    assert (WiseFt().name, WiseFt(0.25).name) == ("WiSE-FT", "WiSE-FT (0.25)")
