from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.methods import clipood
from evaluation.methods.clipood import BetaAverage, Clipood, margin_metric_softmax
from evaluation.methods.method import Examples
from saft_core.clip.flat import tower_of
from tests.evaluation.methods.checks import check_training, config
from tests.evaluation.methods.fitting import TEMPLATE, coloured
from tests.fixtures.models import bits, make_base
from tests.fixtures.tasks import LABELS


def unit(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 6, generator=generator, dtype=torch.float64), dim=-1)


IMAGES, TEXTS, TARGETS, SCALE = unit(5, 0), unit(4, 1), torch.tensor([0, 3, 1, 1, 2]), torch.tensor(9.0)


def test_without_a_margin_the_loss_is_cross_entropy() -> None:
    expected = F.cross_entropy(SCALE * IMAGES @ TEXTS.T, TARGETS)
    torch.testing.assert_close(margin_metric_softmax(IMAGES, TEXTS, TARGETS, SCALE, 0.0), expected)


def test_the_loss_is_the_papers_term_by_term() -> None:
    each = []
    for image, target in zip(IMAGES, TARGETS.tolist(), strict=True):
        right = math.exp(9 * float(image @ TEXTS[target]))
        wrong = sum(
            math.exp(9 * (float(image @ text) + 0.3 * (1 - float(TEXTS[target] @ text))))
            for label, text in enumerate(TEXTS)
            if label != target
        )
        each.append(-math.log(right / (right + wrong)))
    found = margin_metric_softmax(IMAGES, TEXTS, TARGETS, SCALE, 0.3)
    assert float(found) == pytest.approx(sum(each) / len(each), rel=1e-9)


def test_the_average_is_the_direct_sum_weighted_by_the_density() -> None:
    steps = 7
    way = [torch.randn(5, generator=torch.Generator().manual_seed(step), dtype=torch.float64) for step in range(8)]
    average = BetaAverage(way[0], steps)
    for step in range(1, steps + 1):
        average.take(way[step], step)
    at = [(step + 0.5) / (steps + 1) for step in range(steps + 1)]
    weights = [1 / (math.pi * math.sqrt(x * (1 - x))) for x in at]  # the density of Beta(0.5, 0.5)
    expected = sum((weight * values for weight, values in zip(weights, way, strict=True)), torch.zeros(5)) / sum(
        weights
    )
    torch.testing.assert_close(average.values, expected, rtol=1e-12, atol=1e-12)


def test_a_fit_averages_over_all_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    way: list[Tensor] = []

    class Noting(BetaAverage):
        def take(self, values: Tensor, step: int) -> None:
            way.append(values.clone())
            assert len(way) == step
            super().take(values, step)

    base = make_base("vit", dtype=torch.float64)
    before = base.flat.buffer.clone()
    with monkeypatch.context() as patch:
        patch.setattr(clipood, "BetaAverage", Noting)
        fitted = Clipood().fit(base, Examples(coloured(base), LABELS, TEMPLATE), config(epochs=2, batch_size=5))
    assert len(way) == 6
    weights = [1 / math.sqrt((step + 0.5) * (6.5 - step)) for step in range(7)]
    expected = torch.zeros_like(before)
    for weight, values in zip(weights, [before, *way], strict=True):
        expected += weight / sum(weights) * values
    torch.testing.assert_close(fitted.values, expected, rtol=1e-9, atol=1e-12)  # type: ignore[attr-defined]


@pytest.mark.parametrize("tower", ["vit", "resnet"])
def test_it_trains_the_image_tower_and_leaves_the_base_alone(tower: str) -> None:
    base = make_base(tower)
    fitted = check_training(Clipood(), base, learning_rate=3e-3)
    moved = fitted.values != base.flat.buffer  # type: ignore[attr-defined]
    image = sum(slot.size for slot in base.flat.slots if tower_of(slot.name) == "image")
    assert fitted.trainable == image
    for slot in base.flat.slots:
        assert tower_of(slot.name) == "image" or not moved[slot.offset : slot.offset + slot.size].any()
    assert moved.sum() > image / 2


def test_one_step_follows_the_papers_gradient() -> None:
    base = make_base("vit", dtype=torch.float64)
    images, before = coloured(base), base.flat.buffer.clone()
    fit = config(epochs=1, batch_size=12, weight_decay=0.0)
    values = Clipood().fit(base, Examples(images, LABELS, TEMPLATE), fit).values  # type: ignore[attr-defined]
    base.model.requires_grad_(True)
    with base.flat.gradient() as gradient:
        texts = base.encode_texts([TEMPLATE.replace("{}", label) for label in LABELS]).detach()
        features = base.encode_pixels(images.pixels(range(12)))
        margin_metric_softmax(features, texts, images.targets, base.logit_scale.detach(), 0.3).backward()
    # Of one step the average is the middle, and AdamW's first step goes against the sign, by the learning rate.
    clear = gradient.abs() > 1e-5
    torch.testing.assert_close((values - before)[clear], -0.5e-3 * gradient[clear].sign(), rtol=1e-2, atol=0)
    assert bits(base.flat.buffer) == bits(before)
