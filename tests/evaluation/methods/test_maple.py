from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from torch import Tensor

from evaluation.loading import Images
from evaluation.methods.maple import LENGTH, CoupledPrompts, MaPLe, encode_pixels
from evaluation.methods.method import Examples, FitConfig, Unsuited
from evaluation.methods.prompts import LearnedPrompts, count
from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import fill
from tests.fixtures.models import TEXT, TOWERS, make_base, pictures, to_pixels, tokenizer
from tests.fixtures.tasks import LABELS, colour_samples

TEMPLATE = "a photo of a {}."


def deep_base(layers: int = 4) -> Base:
    torch.manual_seed(0)
    model = CLIP(16, TOWERS["vit"] | {"layers": layers}, TEXT | {"layers": layers})
    return Base(model, to_pixels, tokenizer(), name="deep")


@contextmanager
def changed(modules: list[Any], changes: list[Any]) -> Iterator[None]:
    """The input of each module is changed before it is seen."""
    with ExitStack() as hooks:
        for module, change in zip(modules, changes, strict=True):
            handle = module.register_forward_pre_hook(lambda _, args, change=change: (change(args[0]), *args[1:]))
            hooks.callback(handle.remove)
        yield


def written(prompt: Tensor, start: int, end: int | None) -> Any:
    """The tokens between become the prompt."""

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        x[:, start:end] = prompt
        return x

    return change


@pytest.mark.parametrize("layers", [3, 4])
@torch.no_grad()
def test_deep_prompts_of_texts_stand_where_the_model_s_own_blocks_would_see_them(layers: int) -> None:
    base = deep_base(layers)
    prompts = LearnedPrompts(base, LABELS, LENGTH)
    torch.manual_seed(1)
    first, *deeper = torch.randn(3, LENGTH, 16)
    model: Any = base.model
    tokens = base.tokenize(fill(TEMPLATE, LABELS))
    blocks = [model.transformer.resblocks[number] for number in range(3)]
    first_with_position = first + model.positional_embedding[1:3]
    with changed(blocks, [written(prompt, 1, 3) for prompt in (first_with_position, *deeper)]):
        expected = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(prompts.encode(first[None], deeper)[0], expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_prompts_of_images_are_tokens_at_the_end_that_are_not_pooled() -> None:
    base = deep_base()
    visual: Any = base.model.visual
    torch.manual_seed(1)
    first, *deeper = torch.randn(3, LENGTH, 32)
    pixels = base.pixels(pictures(3))
    blocks = [visual.transformer.resblocks[number] for number in (1, 2)]
    added = lambda x: torch.cat([x, first.expand(len(x), -1, -1)], dim=1)  # noqa: E731
    with changed([visual.ln_pre, *blocks], [added, *(written(prompt, -LENGTH, None) for prompt in deeper)]):
        expected = base.model.encode_image(pixels, normalize=True)  # type: ignore[operator]
    torch.testing.assert_close(encode_pixels(visual, pixels, [first, *deeper]), expected, rtol=1e-5, atol=1e-6)


def test_at_depth_nine_with_two_vectors_vit_b_16_has_the_paper_s_number_of_parameters() -> None:
    config = open_clip.get_model_config("ViT-B-16")
    assert config is not None
    with torch.device("meta"):
        model = CLIP(**config)
    words = torch.zeros(LENGTH, model.token_embedding.embedding_dim)
    assert count(CoupledPrompts(words, model.visual.conv1.out_channels, depth=9, seed=0)) == 3_555_072


def test_all_prompts_and_couplings_are_trained_and_counted() -> None:
    base = deep_base()
    images = Images(base, colour_samples(2))
    images.freeze()
    fitted = MaPLe().fit(base, Examples(images, LABELS, TEMPLATE), FitConfig(0.1, 1, 2, 5e-4, 0.001, "none", 0))
    assert fitted.trainable == 4 * (LENGTH * 16 + (16 + 1) * 32)
    start = CoupledPrompts(LearnedPrompts(base, LABELS, LENGTH).words, 32, 4, seed=0)
    moved = [
        not torch.equal(now, before)
        for now, before in zip(fitted.learned.parameters(), start.parameters(), strict=True)
    ]
    assert moved == [True] * 12


def test_prompts_go_no_deeper_than_nine_blocks() -> None:
    base = deep_base(layers=10)
    images = Images(base, colour_samples(1))
    images.freeze()
    fitted = MaPLe().fit(base, Examples(images, LABELS, TEMPLATE), FitConfig(0.1, 1, 3, 5e-4, 0.001, "none", 0))
    assert len(fitted.learned.texts) == 9


def test_a_base_whose_image_tower_has_no_tokens_is_refused() -> None:
    base = make_base("resnet")
    images = Images(base, colour_samples(1))
    images.freeze()
    with pytest.raises(Unsuited, match="ModifiedResNet"):
        MaPLe().fit(base, Examples(images, LABELS, TEMPLATE), FitConfig(0.1, 1, 3, 5e-4, 0.001, "none", 0))
