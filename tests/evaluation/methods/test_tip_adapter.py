from __future__ import annotations

import math
from typing import cast

import pytest
import torch

from evaluation.methods.method import Examples
from evaluation.methods.tip_adapter import Cache, TipAdapter, TipAdapterF, TipFit, build, chosen
from saft_core.clip.zero_shot import class_weights
from tests.evaluation.methods.checks import check_training, config, is_at_rest, scores, state, zero_shot
from tests.evaluation.methods.fitting import TEMPLATE, coloured
from tests.fixtures.models import bits, make_base
from tests.fixtures.tasks import LABELS


def test_at_alpha_0_it_is_zero_shot() -> None:
    base = make_base("vit")
    images = coloured(base)
    fitted = TipFit(base, LABELS, build(base, images, len(LABELS), config()), 0.0, 5.5)
    tested = coloured(base, seed=1)
    assert bits(scores(fitted, tested)) == bits(zero_shot(base, tested))


def test_its_logits_are_the_papers_shot_by_shot() -> None:
    base = make_base("vit")
    images, tested = coloured(base), coloured(base, 1, seed=1)
    fitted = cast("TipFit", TipAdapter().fit(base, Examples(images, LABELS, TEMPLATE), config()))
    assert (fitted.alpha, fitted.beta, fitted.trainable) == (1.0, 5.5, 0)
    expected = zero_shot(base, tested).clone()
    for row, image in zip(expected, tested.frozen, strict=True):
        for key, target in zip(images.frozen, images.targets.tolist(), strict=True):
            row[target] += math.exp(-5.5 * (1 - float(image @ key)))
    torch.testing.assert_close(scores(fitted, tested), expected, rtol=1e-5, atol=1e-5)


def test_fitting_it_leaves_the_base_alone() -> None:
    base = make_base("resnet")
    base.model.requires_grad_(False)
    before = state(base)
    fitted = TipAdapter().fit(base, Examples(coloured(base), LABELS, TEMPLATE), config(augment="crop"))
    scores(fitted, coloured(base))
    assert state(base) == before
    assert is_at_rest(base)


def test_a_part_of_its_labels_is_named_by_their_columns_and_others_are_not() -> None:
    base = make_base("vit")
    images = coloured(base)
    fitted = TipAdapter().fit(base, Examples(images, LABELS, TEMPLATE), config())
    some = ("blue", "red")
    torch.testing.assert_close(scores(fitted, images, some), scores(fitted, images)[:, [2, 0]])
    assert fitted.scorer(("red", "yellow"), TEMPLATE) is None


def test_held_images_choose_alpha_and_beta() -> None:
    base = make_base("vit")
    images, held = coloured(base), coloured(base, seed=1)
    cache, weights = build(base, images, len(LABELS), config()), class_weights(base, LABELS, TEMPLATE).detach()
    alpha, beta = chosen(cache, weights, held)
    fitted = cast("TipFit", TipAdapter().fit(base, Examples(images, LABELS, TEMPLATE, held), config()))
    assert (fitted.alpha, fitted.beta) == (alpha, beta)

    def right(alpha: float, beta: float) -> int:
        answers = held.frozen @ weights.T + alpha * cache.logits(held.frozen, beta)
        return int((answers.argmax(dim=1) == held.targets).sum())

    assert right(alpha, beta) > right(0.0, beta)
    assert right(alpha, beta) >= max(right(1.0, 5.5), right(0.1, 0.1), right(2.8, 6.6))
    assert chosen(cache, weights, None) == (1.0, 5.5)


def test_augmented_keys_are_the_mean_of_views() -> None:
    base = make_base("vit")
    images = coloured(base)
    with torch.no_grad():
        views = [base.encode_pixels(images.views(range(12), "crop", (0, view))) for view in range(10)]
    found = build(base, images, 3, config(augment="crop", batch_size=12)).keys
    mean = torch.stack(views).mean(dim=0)
    torch.testing.assert_close(found, mean / mean.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("tower", ["vit", "resnet"])
def test_trained_keys_learn_and_leave_the_base_alone(tower: str) -> None:
    base = make_base(tower)
    fitted = check_training(TipAdapterF(), base, epochs=10)
    assert fitted.trainable == 12 * base.embed_dim


def test_training_of_keys_starts_at_the_shots() -> None:
    base = make_base("vit")
    images = coloured(base)
    plain = TipAdapter().fit(base, Examples(images, LABELS, TEMPLATE), config())
    trained = TipAdapterF().fit(base, Examples(images, LABELS, TEMPLATE), config(learning_rate=0.0))
    assert bits(scores(trained, images)) == bits(scores(plain, images))


def test_a_shot_says_most_where_it_lies() -> None:
    cache = Cache(torch.eye(2), torch.eye(2))
    assert cache.logits(torch.eye(2), 1e9).tolist() == [[1, 0], [0, 1]]
