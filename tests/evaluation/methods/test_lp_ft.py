from __future__ import annotations

import torch

from evaluation.methods.linear_probe import LinearFit, LinearProbe
from evaluation.methods.lp_ft import HeadFit, LpFt
from saft_core.clip.flat import tower_of
from tests.evaluation.methods.fitting import TEMPLATE, check_fit, coloured, logits_of, loss_of, quickly
from tests.fixtures.models import bits, make_base


def test_the_second_stage_begins_with_the_linear_probe() -> None:
    base = make_base("vit")
    held = coloured(base, per_class=2, seed=1)
    first, both = quickly(LinearProbe(), base, held=held), quickly(LpFt(), base, held=held, learning_rate=0.0)
    torch.testing.assert_close(logits_of(both, coloured(base)), logits_of(first, coloured(base)), rtol=1e-4, atol=1e-4)
    assert isinstance(both, HeadFit)
    assert isinstance(first, LinearFit)
    assert bits(both.head.weight) == bits(first.head.weight)


def test_the_image_encoder_and_the_head_are_trained_and_nothing_else() -> None:
    base = make_base("vit")
    before, first, both = base.flat.buffer.clone(), quickly(LinearProbe(), base), quickly(LpFt(), base)
    assert isinstance(both, HeadFit)
    assert isinstance(first, LinearFit)
    image = torch.zeros(base.parameter_count, dtype=torch.bool)
    for slot in base.flat.slots:
        image[slot.offset : slot.offset + slot.size] = tower_of(slot.name) == "image"
    with both.active():
        assert bits(base.flat.buffer[~image]) == bits(before[~image])
        assert (base.flat.buffer[image] != before[image]).double().mean() > 0.9
    assert (both.head.weight != first.head.weight).all()
    assert (both.head.bias != first.head.bias).any()
    assert both.trainable == int(image.sum()) + 3 * base.embed_dim + 3


def test_it_learns_more_than_its_first_stage_and_leaves_the_base() -> None:
    base = make_base("vit")
    fitted = check_fit(LpFt(), base)
    assert loss_of(fitted, coloured(base)) < loss_of(quickly(LinearProbe(), base), coloured(base))


def test_it_cannot_name_a_new_label() -> None:
    fitted = quickly(LpFt(), make_base("vit"))
    assert fitted.scorer(("red", "violet"), TEMPLATE) is None
    assert fitted.scorer(("blue", "red"), TEMPLATE) is not None
