from __future__ import annotations

from typing import cast

import pytest
import torch
from open_clip.loss import ClipLoss
from torch.nn import functional as F

from evaluation.methods.dense import DenseFit
from evaluation.methods.flyp import Flyp, captions, contrastive
from evaluation.methods.method import Examples
from saft_core.clip.zero_shot import fill
from tests.evaluation.methods.checks import check_training, config
from tests.evaluation.methods.fitting import TEMPLATE, coloured
from tests.fixtures.models import make_base
from tests.fixtures.tasks import LABELS

ENSEMBLE = ("a {}.", "the small {}")


def test_its_loss_is_open_clips() -> None:
    generator = torch.Generator().manual_seed(0)
    images, texts = (F.normalize(torch.randn(5, 8, generator=generator), dim=-1) for _ in range(2))
    scale = torch.tensor(12.0)
    assert contrastive(images, texts, scale) == ClipLoss()(images, texts, scale)


def test_its_first_step_is_open_clips_on_the_images_and_their_prompts() -> None:
    base = make_base("vit", dtype=torch.float64)
    images, fit = coloured(base), config(epochs=1, batch_size=12, weight_decay=0.0)
    before = base.flat.buffer.clone()
    values = cast("DenseFit", Flyp().fit(base, Examples(images, LABELS, TEMPLATE), fit)).values
    prompts = [TEMPLATE.replace("{}", LABELS[target]) for target in images.targets.tolist()]
    base.model.requires_grad_(True)
    with base.flat.gradient() as gradient:
        features = base.model.encode_image(images.pixels(range(12)), normalize=True)  # type: ignore[operator]
        texts = base.model.encode_text(base.tokenize(prompts).to(base.device), normalize=True)  # type: ignore[operator]
        ClipLoss()(features, texts, base.logit_scale).backward()
    # AdamW's first step goes against the sign of each gradient, by the learning rate.
    clear = gradient.abs() > 1e-5
    assert clear.sum() > 1000
    torch.testing.assert_close((values - before)[clear], -1e-3 * gradient[clear].sign(), rtol=1e-2, atol=0)


@torch.no_grad()
def test_of_an_ensemble_each_image_draws_a_prompt_of_its_class_in_each_step() -> None:
    base = make_base("vit")
    targets = torch.tensor([2, 0, 0, 1, 2, 1, 0, 2])
    each = torch.stack([base.encode_texts(fill(one, LABELS)) for one in ENSEMBLE])  # (templates, classes, embed_dim)
    encode = captions(base, LABELS, ENSEMBLE, seed=0)
    steps = []
    for step in range(2):
        near = (encode(targets, step)[None] - each[:, targets]).abs().amax(dim=2) < 1e-5
        assert near.sum(dim=0).tolist() == [1] * 8
        steps.append(near.int().argmax(dim=0).tolist())
    assert steps[0] != steps[1]
    assert set(steps[0]) == {0, 1}


@pytest.mark.parametrize("tower", ["vit", "resnet"])
def test_it_learns_and_leaves_the_base_alone(tower: str) -> None:
    base = make_base(tower)
    fitted = check_training(Flyp(), base)
    assert fitted.trainable == base.parameter_count
    assert fitted.scorer(("anything", "else"), TEMPLATE) is not None
