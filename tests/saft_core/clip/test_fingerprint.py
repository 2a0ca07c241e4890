from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transformer import LayerNorm, LayerNormFp32
from torch import nn

from saft_core.clip.backbone import Base
from saft_core.clip.fingerprint import activations, layers
from saft_core.clip.loading import load_base
from tests.fixtures.models import CONTEXT_LENGTH, make_base
from tests.saft_core.clip.checkpoints import clip, config, write_folder

# Written with the first release that has this kind of fingerprint. Another value orphans every adapter there is.
EMBEDDED = "4541b2da6ae9"

DIFFERENCES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "heads of the image tower": (config(vision_cfg__head_width=8), {}),
    "heads of the text tower": (config(text_cfg__heads=4), {}),
    "QuickGELU": (config(quick_gelu=True), {}),
    "approximation of GELU": (config(vision_cfg__act_kwargs={"approximate": "tanh"}), {}),
    "pooling of the image tower": (config(vision_cfg__pool_type="avg"), {}),
    "pooling of the text tower": (config(text_cfg__pool_type="last"), {}),
    "pooling at the end": (config(text_cfg__pool_type="eos"), {}),
    "end of text": (config(text_cfg__pool_type="eos", text_cfg__eos_id=49407), {}),
    "norm after pooling": (config(vision_cfg__final_ln_after_pool=True), {}),
    "epsilon": (config(text_cfg__norm_kwargs={"eps": 1e-6}), {}),
    "no causal mask": (config(text_cfg__no_causal_mask=True), {}),
    "cleaning of texts": (config(text_cfg__tokenizer_kwargs={"clean": "canonicalize"}), {}),
    "case of texts": (config(text_cfg__tokenizer_kwargs={"clean": "whitespace"}), {}),
    "mean": (config(), {"mean": [0.5, 0.5, 0.5]}),
    "std": (config(), {"std": [0.5, 0.5, 0.5]}),
    "interpolation": (config(), {"interpolation": "bilinear"}),
    "squash": (config(), {"resize_mode": "squash"}),
    "longest": (config(), {"resize_mode": "longest"}),
    "fill": (config(), {"resize_mode": "longest", "fill_color": 7}),
}


def test_each_difference_in_what_is_computed_shows(tmp_path: Path) -> None:
    """All have the same weights."""
    weights = clip()
    found = {"none": load_base(write_folder(tmp_path / "none", config(), model=weights)).fingerprint}
    for name, (model_cfg, preprocess_cfg) in DIFFERENCES.items():
        base = load_base(write_folder(tmp_path / name, model_cfg, preprocess_cfg, model=weights))
        found[name] = base.fingerprint
    same = [(a, b) for a in found for b in found if a < b and found[a] == found[b]]
    assert same == []


def test_a_default_may_be_written_out_and_a_name_may_differ(tmp_path: Path) -> None:
    plain = load_base(write_folder(tmp_path / "plain", config()))
    spelled = config(
        vision_cfg__pool_type="tok", text_cfg__pool_type="argmax", quick_gelu=False, text_cfg__eos_id=49407
    )
    pixels = {"interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 3, "mode": "RGB"}
    other = load_base(write_folder(tmp_path / "other", spelled, pixels, card={"name": "another"}))
    assert other.fingerprint == plain.fingerprint


def fed_by(tokenize: Any) -> Base:
    return Base(clip(), make_base("vit").preprocess, tokenize, name="x")


def test_the_tokenizer_shows() -> None:
    longer = open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH + 1)
    more_words = open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    more_words.encoder = more_words.encoder | {"a word that no probe has": len(more_words.encoder)}
    usual = open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    kinds = [usual, longer, more_words, lambda texts: usual(texts).flip(0)]
    assert len({fed_by(tokenize).fingerprint for tokenize in kinds}) == len(kinds)


def test_parameters_and_persistent_buffers_show() -> None:
    base, same, buffer, parameter = (make_base("resnet") for _ in range(4))
    next(b for name, b in buffer.model.named_buffers() if "running_mean" in name)[0] += 1
    parameter.flat.buffer[0] += 1
    assert base.fingerprint == same.fingerprint
    assert len({base.fingerprint, buffer.fingerprint, parameter.fingerprint, make_base("vit").fingerprint}) == 4


def test_the_activation_shows_where_it_is_computed() -> None:
    quick = make_base("vit")
    quick.model.transformer.resblocks[0].mlp.gelu = open_clip.transformer.QuickGELU()  # type: ignore[union-attr,index]
    unused = make_base("vit")
    unused.model.add_module("QuickGELU", nn.Identity())
    assert activations(quick.model) == ["GELU", "QuickGELU"]
    assert unused.fingerprint == make_base("vit").fingerprint != quick.fingerprint


def test_what_a_library_may_add_without_effect_does_not_show() -> None:
    base, other = make_base("resnet"), make_base("resnet")
    other.model.register_buffer("cache", torch.ones(3), persistent=False)
    other.model.add_module("regularizer", nn.Dropout(0.5))
    for module in other.model.modules():
        for name, off in {"use_fused": True, "scaled_cosine": False, "num_prefix_tokens": 0}.items():
            setattr(module, name, off)
        if type(module) is LayerNorm:
            module.__class__ = LayerNormFp32
    assert other.fingerprint == base.fingerprint


def test_a_layer_is_described_by_its_kind_and_what_is_set() -> None:
    described = layers(clip())
    assert described[""] == {"text_pool_type": "argmax", "mask": "causal"}
    assert described["visual.transformer.resblocks.0.attn"] == {"num_heads": 2}
    assert described["visual.transformer.resblocks.0.attn.out_proj"] == {"kind": "Linear"}
    assert described["ln_final"] == {"kind": "LayerNorm", "eps": 1e-5}


def test_the_embedded_base_keeps_its_fingerprint() -> None:
    assert load_base("").fingerprint.startswith(EMBEDDED)
