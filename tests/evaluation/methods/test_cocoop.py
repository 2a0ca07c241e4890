from __future__ import annotations

import torch

from evaluation.loading import Images
from evaluation.methods.cocoop import CoCoOp, CoCoOpFit, ConditionalContext
from evaluation.methods.coop import CoOpFit
from evaluation.methods.method import Examples, FitConfig
from evaluation.methods.prompts import LearnedPrompts, count
from saft_core.clip.backbone import Base
from tests.fixtures.models import make_base
from tests.fixtures.tasks import LABELS, colour_samples

TEMPLATE = "a photo of a {}."


def learned_for(base: Base, seed: int = 0) -> ConditionalContext:
    return ConditionalContext(LearnedPrompts(base, LABELS).words, base.embed_dim, seed)


def test_with_a_meta_net_of_zeros_its_logits_are_those_of_coop() -> None:
    base = make_base("vit")
    images = Images(base, colour_samples(2))
    images.freeze()
    learned = learned_for(base)
    with torch.no_grad():
        learned.context.add_(0.1)
        for parameter in learned.meta_net.parameters():
            parameter.zero_()
        batch = images.batch(range(len(images)))
        expected = CoOpFit(base, learned.context).scorer(LABELS, TEMPLATE)(batch)
        given = CoCoOpFit(base, learned).scorer(LABELS, TEMPLATE)(batch)
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5)


def test_every_image_is_read_in_a_context_of_its_own() -> None:
    base = make_base("vit")
    images = Images(base, colour_samples(2))
    images.freeze()
    learned = learned_for(base)
    with torch.no_grad():
        last = learned.meta_net[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight.add_(1.0)
        contexts = learned(images.frozen)
        given = CoCoOpFit(base, learned).scorer(LABELS, TEMPLATE)(images.batch(range(len(images))))
        for position, context in enumerate(contexts):
            alone = CoOpFit(base, context).scorer(LABELS, TEMPLATE)(images.batch([position]))
            torch.testing.assert_close(given[position : position + 1], alone, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(contexts[0], contexts[-1], atol=1e-4)


def test_on_vit_b_16_the_paper_s_number_of_parameters_is_trained() -> None:
    assert count(ConditionalContext(torch.zeros(4, 512), embed_dim=512, seed=0)) == 35_360


def test_context_and_meta_net_are_trained_and_counted() -> None:
    base = make_base("vit")
    images = Images(base, colour_samples(2))
    images.freeze()
    fitted = CoCoOp().fit(base, Examples(images, LABELS, TEMPLATE), FitConfig(0.1, 1, 1, 5e-4, 0.001, "none", 0))
    assert fitted.trainable == 4 * 16 + (16 + 1) + (16 + 16)
    moved = [
        not torch.equal(now, before)
        for now, before in zip(fitted.learned.parameters(), learned_for(base).parameters(), strict=True)
    ]
    assert moved == [True] * 5
