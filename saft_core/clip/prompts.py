"""The text tower at the length the prompts have.

CLIP reads each prompt at its full context, mostly padding. With a causal mask no token sees a later one, and only the
end-of-text token is pooled, so what comes after the last of these in a batch changes nothing and can be left out.
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn import functional as F

POOLED_AT_A_TOKEN = ("argmax", "eos")


def can_be_cut(model: nn.Module) -> bool:
    """Whether `model` is a CLIP that pools a causal text tower at the end-of-text token, so that cutting is exact."""
    if not isinstance(model, CLIP) or model.text_pool_type not in POOLED_AT_A_TOKEN:
        return False
    mask = model.attn_mask
    return isinstance(mask, Tensor) and bool(mask.triu(1).isneginf().sum() == len(mask) * (len(mask) - 1) // 2)


def pooled_positions(model: Any, tokens: Tensor) -> Tensor:
    """Where each prompt is pooled, int64 (N,), for `tokens` int64 (N, L)."""
    if model.text_pool_type == "eos":
        tokens = (tokens == model.text_eos_id).int()
    return tokens.argmax(dim=1)


def cut(model: nn.Module, tokens: Tensor) -> Tensor:
    """`tokens` (N, context) without the columns that change no feature; unchanged where cutting is not exact."""
    if not can_be_cut(model) or not len(tokens):
        return tokens
    return tokens[:, : int(pooled_positions(model, tokens).max()) + 1]


def encode(model: Any, tokens: Tensor) -> Tensor:
    """Unit text embeddings (N, embed_dim) of `tokens` int64 (N, L), of the full context or as `cut` made them."""
    if not can_be_cut(model):
        features: Tensor = model.encode_text(tokens, normalize=True)
        return features
    length = tokens.shape[1]
    x = model.token_embedding(tokens).to(model.transformer.get_cast_dtype())
    x = x + model.positional_embedding[:length].to(x.dtype)
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = x[torch.arange(len(x), device=x.device), pooled_positions(model, tokens)]
    return F.normalize(_projected(model.text_projection, model.ln_final(x)), dim=-1)


def _projected(projection: Any, x: Tensor) -> Tensor:
    if projection is None:
        return x
    projected: Tensor = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return projected
