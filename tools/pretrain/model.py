"""The model: an ordinary open_clip CLIP, only small, so that open_clip loads the result without any code of ours."""

from __future__ import annotations

from typing import Any

import open_clip
import torch
from open_clip.model import CLIP
from torch import Tensor
from torch.nn import functional as F

IMAGE_SIZE = 64
CONTEXT_LENGTH = 32

MODEL_CFG: dict[str, Any] = {
    "embed_dim": 160,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 2, 2, 1], "width": 28, "head_width": 64},
    "text_cfg": {"context_length": CONTEXT_LENGTH, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3},
}
PREPROCESS_CFG: dict[str, Any] = {
    "mean": list(open_clip.OPENAI_DATASET_MEAN),
    "std": list(open_clip.OPENAI_DATASET_STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
MAX_LOGIT_SCALE = 4.6052
"""ln 100, the ceiling that CLIP itself trains with."""


def build_model() -> CLIP:
    """A fresh model of the shipped configuration."""
    return CLIP(**MODEL_CFG)


def image_features(model: CLIP, images: Tensor) -> Tensor:
    """Unit-length image embeddings in float32, whatever the autocast type."""
    return F.normalize(model.encode_image(images).float(), dim=-1)


def text_features(model: CLIP, tokens: Tensor) -> Tensor:
    """Unit-length text embeddings for rows that may be shorter than the context.

    The same numbers as `encode_text`: the mask is causal and the end token is pooled, so padding never matters. Short
    rows are most of the speed of the text tower.
    """
    width = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:width]
    x = model.transformer(x, attn_mask=model.attn_mask[:width, :width])
    x = model.ln_final(x)
    pooled = x[torch.arange(len(tokens), device=tokens.device), tokens.argmax(dim=-1)]
    return F.normalize((pooled @ model.text_projection).float(), dim=-1)


def normalise(images: Tensor) -> Tensor:
    """Pictures in 0..1 to the range that CLIP expects."""
    mean = images.new_tensor(PREPROCESS_CFG["mean"]).view(1, 3, 1, 1)
    std = images.new_tensor(PREPROCESS_CFG["std"]).view(1, 3, 1, 1)
    return (images - mean) / std
