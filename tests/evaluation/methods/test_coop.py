from __future__ import annotations

import torch

from evaluation.loading import Images
from evaluation.methods.coop import CoOp, CoOpFit
from evaluation.methods.method import Examples, FitConfig, ZeroShotFit
from evaluation.methods.prompts import LearnedPrompts
from tests.fixtures.models import make_base
from tests.fixtures.tasks import LABELS, colour_samples

NAMES = ("hot_dog", "cat", "AnnualCrop", "02_ice-cream")
TEMPLATE = "a photo of a {}."


def test_a_context_of_the_words_a_photo_of_a_gives_the_zero_shot_logits() -> None:
    base = make_base("resnet")
    images = Images(base, colour_samples(2))
    images.freeze()
    fitted = CoOpFit(base, LearnedPrompts(base, NAMES).words)
    batch = images.batch(range(len(images)))
    with torch.no_grad():
        expected = ZeroShotFit(base).scorer(NAMES, TEMPLATE)(batch)
        torch.testing.assert_close(fitted.scorer(NAMES, TEMPLATE)(batch), expected, rtol=1e-5, atol=1e-5)


def test_four_vectors_are_trained_in_a_base_without_attention_to_images_too() -> None:
    base = make_base("resnet")
    images = Images(base, colour_samples(2))
    images.freeze()
    fitted = CoOp().fit(base, Examples(images, LABELS, TEMPLATE), FitConfig(0.1, 1, 4, 5e-4, 0.001, "none", 0))
    assert fitted.context.shape == (4, 16)
    assert fitted.trainable == 64
    assert not torch.equal(fitted.context, LearnedPrompts(base, LABELS).words)
    assert not fitted.context.requires_grad
