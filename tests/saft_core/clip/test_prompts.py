from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP, CustomTextCLIP
from torch import nn

from saft_core.clip import prompts
from tests.fixtures.models import TEXT, TOWERS, make_base

TEXTS = ["a cat", "a photo of a big dog", "x"]


@pytest.mark.parametrize("tower", sorted(TOWERS))
@pytest.mark.parametrize("pool", ["argmax", "eos"])
def test_cut_prompts_have_the_features_of_whole_ones(tower: str, pool: str) -> None:
    base = make_base(tower, dtype=torch.float64)
    model: Any = base.model
    model.text_pool_type, model.text_eos_id = pool, 49407
    whole = base.tokenize(TEXTS)
    tokens = base.tokens(TEXTS)
    assert tokens.shape == (3, 8)  # begin, six words, end
    with torch.no_grad():
        expected = model.encode_text(whole, normalize=True)
        torch.testing.assert_close(base.encode_tokens(tokens), expected, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(base.encode_tokens(whole), expected, rtol=1e-12, atol=1e-13)


def test_a_text_that_fills_the_context_is_not_cut() -> None:
    base = make_base("vit")
    assert base.tokens(["word " * 50, "x"]).shape == (2, TEXT["context_length"])


def test_a_model_is_cut_only_where_that_is_exact() -> None:
    def clip(kind: type[nn.Module] = CLIP, **text: object) -> nn.Module:
        return kind(embed_dim=16, vision_cfg=TOWERS["vit"], text_cfg=TEXT | text)

    assert prompts.can_be_cut(clip())
    assert not prompts.can_be_cut(clip(pool_type="last"))
    assert not prompts.can_be_cut(clip(CustomTextCLIP))
    assert not prompts.can_be_cut(clip(CustomTextCLIP, no_causal_mask=True))
    open_mask = clip()
    open_mask.attn_mask[0, 3] = 0.0  # type: ignore[operator]
    assert not prompts.can_be_cut(open_mask)


def test_other_models_read_the_whole_context() -> None:
    torch.manual_seed(0)
    model = CustomTextCLIP(embed_dim=16, vision_cfg=TOWERS["vit"], text_cfg=TEXT).eval()
    tokens = open_clip.SimpleTokenizer(context_length=TEXT["context_length"])(TEXTS)
    assert prompts.cut(model, tokens) is tokens
    with torch.no_grad():
        assert torch.equal(prompts.encode(model, tokens), model.encode_text(tokens, normalize=True))
