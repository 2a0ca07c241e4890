from __future__ import annotations

from typing import Any

import pytest
import torch
from open_clip.model import CLIP, CustomTextCLIP
from torch import nn

from saft_core.clip import image_tower
from tests.fixtures.models import TEXT, TOWERS, make_base, pictures


@pytest.mark.parametrize("tower", sorted(TOWERS))
@pytest.mark.parametrize("projected", [True, False])
def test_pictures_have_the_features_that_open_clip_gives_them(tower: str, projected: bool) -> None:
    base = make_base(tower, dtype=torch.float64)
    model: Any = base.model
    if not projected:
        model.visual.proj = None
    pixels = base.pixels(pictures(3))
    with torch.no_grad():
        expected = model.encode_image(pixels, normalize=True)
        torch.testing.assert_close(base.encode_pixels(pixels), expected, rtol=1e-12, atol=1e-13)


def test_the_last_block_computes_the_class_token_alone() -> None:
    base = make_base("vit")
    seen = []
    base.model.visual.transformer.resblocks[-1].mlp.register_forward_hook(lambda *call: seen.append(call[2].shape))  # type: ignore[union-attr,index]
    base.encode_pixels(base.pixels(pictures(3)))
    assert seen == [(3, 1, 32)]


@pytest.mark.parametrize(
    "vision",
    [
        {"pool_type": "avg"},
        {"attentional_pool": True, "attn_pooler_heads": 2},
        {"output_tokens": True},
        {"block_type": "custom", "qk_norm": True},
        {"final_ln_after_pool": True},
        {"ls_init_value": 0.1},
    ],
    ids=str,
)
def test_a_tower_of_another_form_is_run_as_it_is(vision: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = CLIP(embed_dim=16, vision_cfg=TOWERS["vit"] | vision, text_cfg=TEXT).eval()
    assert image_tower.pools_class_token(model) is (next(iter(vision)) in ("final_ln_after_pool", "ls_init_value"))
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        model.visual.output_tokens = False
        expected = model.encode_image(pixels, normalize=True)
        torch.testing.assert_close(image_tower.encode(model, pixels), expected, rtol=1e-5, atol=1e-6)


def test_only_a_clip_is_looked_into() -> None:
    assert not image_tower.pools_class_token(nn.Linear(2, 2))
    assert not image_tower.pools_class_token(CustomTextCLIP(embed_dim=16, vision_cfg=TOWERS["vit"], text_cfg=TEXT))
