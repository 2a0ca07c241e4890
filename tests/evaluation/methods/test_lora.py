from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.methods.lora import SCALE, Lora, LoraFit, Update, merged, projections, updates_of
from evaluation.methods.method import Examples, Unsuited
from saft_core.clip.backbone import Base
from saft_core.tuning.training import batches
from tests.evaluation.methods.checks import check_training, config, scores
from tests.evaluation.methods.fitting import TEMPLATE, coloured
from tests.fixtures.families import FAMILIES, make
from tests.fixtures.models import bits, make_base
from tests.fixtures.tasks import LABELS


def family(title: str, monkeypatch: pytest.MonkeyPatch) -> Base:
    return make(next(one for one in FAMILIES if one.title == title), monkeypatch)


def drawn(base: Base) -> list[Update]:
    """Updates that change something."""
    updates = updates_of(base, seed=0)
    for update in updates:
        update.up.copy_(torch.randn(update.up.shape, generator=torch.Generator().manual_seed(1)))
    return updates


def test_it_starts_exactly_at_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    for base in (make_base("vit"), make_base("resnet"), family("SigLIP", monkeypatch)):
        before, updates = base.flat.buffer.clone(), updates_of(base, seed=0)
        assert {update.tower for update in updates} == {"image", "text"}
        with merged(updates):
            assert torch.equal(base.flat.buffer, before)
        with merged(drawn(base)):
            assert not torch.equal(base.flat.buffer, before)
        assert bits(base.flat.buffer) == bits(before)


@torch.no_grad()
def unmerged(x: Tensor, weights: list[Tensor], biases: Tensor, updates: list[Update], heads: int) -> Tensor:
    """Attention of `x` (n, L, width) to itself, where A and B act beside W, before the output projection."""
    q, k, v = (
        (x @ weight.T + bias + SCALE * (x @ update.down.T) @ update.up.T).unflatten(2, (heads, -1)).transpose(1, 2)
        for weight, bias, update in zip(weights, biases.chunk(3), updates, strict=True)
    )
    mixed: Tensor = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v
    return mixed.transpose(1, 2).flatten(2)


@torch.no_grad()
def test_merged_equals_unmerged_where_one_weight_holds_all_three() -> None:
    base = make_base("vit", dtype=torch.float64)
    model = cast("Any", base.model)
    for attention in (model.transformer.resblocks[1].attn, model.visual.transformer.resblocks[0].attn):
        x = torch.randn(2, 5, attention.embed_dim, dtype=torch.float64)
        updates = drawn(base)
        own = [update for update in updates if update.weight is attention.in_proj_weight]
        expected = attention.out_proj(
            unmerged(x, attention.in_proj_weight.chunk(3), attention.in_proj_bias, own, attention.num_heads)
        )
        plain = attention(x, x, x, need_weights=False)[0]
        with merged(updates):
            found = attention(x, x, x, need_weights=False)[0]
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(found, plain)
        assert bits(attention(x, x, x, need_weights=False)[0]) == bits(plain)


@torch.no_grad()
def test_merged_equals_unmerged_in_a_resnets_attention_pool() -> None:
    base = make_base("resnet", dtype=torch.float64)
    pool = cast("Any", base.model).visual.attnpool
    q, k, v = pool.q_proj, pool.k_proj, pool.v_proj
    updates = drawn(base)
    own = [next(update for update in updates if update.weight is one.weight) for one in (q, k, v)]
    side = math.isqrt(len(pool.positional_embedding) - 1)
    x = torch.randn(2, q.in_features, side, side, dtype=torch.float64)
    tokens = x.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1) + pool.positional_embedding
    biases = torch.cat([q.bias, k.bias, v.bias])
    expected = pool.c_proj(unmerged(tokens, [q.weight, k.weight, v.weight], biases, own, pool.num_heads)[:, 0])
    with merged(updates):
        torch.testing.assert_close(pool(x), expected)


def test_a_fit_is_adamw_on_the_factors_by_autograd() -> None:
    base = make_base("vit", dtype=torch.float64)
    fit, images = config(epochs=2, batch_size=5, learning_rate=1e-2), coloured(base)
    fitted = cast("LoraFit", Lora().fit(base, Examples(images, LABELS, TEMPLATE), fit))
    updates = updates_of(base, fit.seed)
    weights = {name: weight.detach() for name, weight in base.model.named_parameters()}
    factors = [factor.requires_grad_() for update in updates for factor in (update.up, update.down)]
    optimizer = torch.optim.AdamW(factors, fit.learning_rate, weight_decay=fit.weight_decay)
    tokens = base.tokenize([TEMPLATE.replace("{}", label) for label in LABELS]).to(base.device)
    for step, positions in enumerate(batches(len(images), fit)):
        optimizer.param_groups[0]["lr"] = 0.5 * fit.learning_rate * (1 + math.cos(math.pi * step / 6))
        changed = {name: _with(weight, updates) for name, weight in weights.items()}
        features, texts, scale = torch.func.functional_call(base.model, changed, (images.pixels(positions), tokens))
        loss = F.cross_entropy(scale * features @ texts.T, images.targets[positions])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert len(fitted.factors) == len(factors) == 2 * 3 * 4
    for found, expected in zip(fitted.factors, factors, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8, check_stride=False)


def _with(weight: Tensor, updates: list[Update]) -> Tensor:
    own = [SCALE * update.up @ update.down for update in updates if update.weight.data_ptr() == weight.data_ptr()]
    return weight + torch.cat(own) if own else weight


@pytest.mark.parametrize("tower", ["vit", "resnet"])
def test_it_learns_and_leaves_the_base_alone(tower: str) -> None:
    base = make_base(tower)
    fitted = check_training(Lora(), base, learning_rate=1e-2)
    text = 2 * 3 * 2 * (16 + 16)
    pool = 256  # a quarter of the width of the last stage times eight: 8 * 32
    image = 2 * 3 * 2 * (32 + 32) if tower == "vit" else 3 * 2 * (pool + pool)
    assert fitted.trainable == text + image
    assert scores(fitted, coloured(base), ("anything", "else")).shape == (12, 2)


def test_of_a_base_with_attention_in_its_text_tower_only_images_are_seen_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = family("EfficientNet-Lite", monkeypatch)
    fitted = cast("LoraFit", check_training(Lora(), base, learning_rate=1e-2))
    assert {update.tower for update in fitted.updates} == {"text"}
    assert not fitted.sees_anew


def test_a_captioning_decoder_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    base = family("CoCa", monkeypatch)
    names = [name for name, weight in base.model.named_parameters() if projections(name, weight)]
    assert any(name.startswith("visual.") for name in names)
    assert any(name.startswith("text.") for name in names)
    assert not any(name.startswith("text_decoder.") for name in names)


def test_it_trains_as_many_numbers_of_vit_b_16_as_clip_lora() -> None:
    settings = open_clip.get_model_config("ViT-B-16")
    assert settings is not None
    with torch.device("meta"):
        model = CLIP(**settings)
    count = sum(
        2 * (rows.stop - rows.start + weight.shape[1])
        for name, weight in model.named_parameters()
        for rows in projections(name, weight)
    )
    assert count == 12 * 3 * 2 * (768 + 768 + 512 + 512)


def test_a_model_without_attention_is_unsuited() -> None:
    plain = cast("Base", SimpleNamespace(model=nn.Linear(2, 2), name="plain"))
    with pytest.raises(Unsuited, match="plain has no attention"):
        updates_of(plain, seed=0)
