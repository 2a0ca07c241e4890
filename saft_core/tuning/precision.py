"""The number format of forward and backward passes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 products on a GPU, as in the paper; the model's own format on a CPU. Weights keep theirs everywhere."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


def logits(scale: Tensor, images: Tensor, texts: Tensor) -> Tensor:
    """Class logits (N, classes) of unit embeddings (N, embed_dim) and (classes, embed_dim), in float32 or better.

    Outside autocast: bfloat16 has eight bits, so that at CLIP's scale of 100 a logit would be off by up to a quarter.
    """
    dtype = torch.promote_types(images.dtype, torch.float32)
    with torch.autocast(images.device.type, enabled=False):
        return scale.to(dtype) * images.to(dtype) @ texts.to(dtype).T
