from __future__ import annotations

import pytest
import torch

from evaluation.methods.clip_adapter import Adapter, ClipAdapter
from evaluation.methods.method import Examples
from tests.evaluation.methods.checks import check_training, config, scores, zero_shot
from tests.evaluation.methods.fitting import TEMPLATE, coloured
from tests.fixtures.models import bits, make_base
from tests.fixtures.tasks import LABELS


def test_at_ratio_0_it_is_zero_shot() -> None:
    base = make_base("vit")
    images = coloured(base)
    fitted = ClipAdapter(ratio=0.0).fit(base, Examples(images, LABELS, TEMPLATE), config())
    torch.testing.assert_close(scores(fitted, images), zero_shot(base, images), rtol=1e-6, atol=1e-6)


def test_it_is_the_papers_bottleneck() -> None:
    base = make_base("vit")
    adapter = Adapter(base, 0.2, 0)
    width = base.embed_dim
    assert (adapter.w1.shape, adapter.w2.shape) == ((width, width // 4), (width // 4, width))
    image = torch.randn(width)
    hidden = [max(0.0, float(image @ adapter.w1[:, unit])) for unit in range(width // 4)]
    new = torch.stack([torch.tensor(hidden) @ adapter.w2[:, unit] for unit in range(width)])
    mixed = 0.2 * new + 0.8 * image
    torch.testing.assert_close(adapter(image[None])[0], mixed / mixed.norm(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(adapter(7 * image[None]), adapter(image[None]))


@pytest.mark.parametrize("tower", ["vit", "resnet"])
def test_it_learns_leaves_the_base_alone_and_names_anything(tower: str) -> None:
    base = make_base(tower)
    fitted = check_training(ClipAdapter(), base, epochs=30, learning_rate=1e-2)
    assert fitted.trainable == 2 * base.embed_dim * (base.embed_dim // 4)
    assert scores(fitted, coloured(base), ("anything", "else")).shape == (12, 2)


def test_augmented_views_are_learned_too() -> None:
    base = make_base("vit")
    images = coloured(base)
    whole, views = (
        ClipAdapter().fit(base, Examples(images, LABELS, TEMPLATE), config(augment=augment))
        for augment in ("none", "crop")
    )
    assert bits(scores(whole, images)) != bits(scores(views, images))
