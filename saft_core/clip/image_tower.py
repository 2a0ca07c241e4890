"""The image tower in its cheapest form: channels last where it convolves, and no work that no embedding depends on.

A vision transformer that pools its class token reads one token of its last block's output. The other tokens are needed
there as keys and values, but their queries, their output projection and their feed-forward layer are not: with ViT-B/32
one fifteenth of the tower.
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F


def pools_class_token(model: nn.Module) -> bool:
    """Whether `model` is a CLIP whose image tower reads nothing but the class token of a plain last block."""
    visual = model.visual if isinstance(model, CLIP) else None
    return (
        isinstance(visual, VisionTransformer)
        and visual.pool_type == "tok"
        and visual.attn_pool is None
        and not visual.output_tokens
        and visual.transformer.batch_first
        and type(visual.transformer.resblocks[-1]) is ResidualAttentionBlock
    )


def memory_format(model: nn.Module) -> torch.memory_format:
    """How the image tower wants its pixels to lie in memory.

    A tower of convolutions takes two thirds of the time with its channels last (EfficientNet-Lite0, 32 pictures, one
    core); one that convolves only to cut patches does not care.
    """
    convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
    return torch.channels_last if convolutions > 1 else torch.contiguous_format


def encode(model: Any, pixels: Tensor) -> Tensor:
    """Unit image embeddings (N, embed_dim) of `pixels` (N, 3, size, size)."""
    if not pools_class_token(model):
        features: Tensor = model.encode_image(pixels, normalize=True)
        return features
    visual = model.visual
    *blocks, last = visual.transformer.resblocks
    x = visual._embeds(pixels)
    for block in blocks:
        x = block(x)
    pooled, _ = visual._pool(_class_token(last, x))
    return F.normalize(pooled if visual.proj is None else pooled @ visual.proj, dim=-1)


def _class_token(block: Any, x: Tensor) -> Tensor:
    """What `block` gives for the first token of `x` (N, L, width): (N, 1, width)."""
    tokens = block.ln_1(x)
    mixed = block.attn(tokens[:, :1], tokens, tokens, need_weights=False)[0]
    x = x[:, :1] + block.ls_1(mixed)
    return x + block.ls_2(block.mlp(block.ln_2(x)))  # type: ignore[no-any-return]
