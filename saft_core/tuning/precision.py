"""The precision of forward and backward passes, and deterministic operators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def passes(device: torch.device) -> Iterator[None]:
    """The context in which selection and training run their passes: `autocast`, and deterministic operators on a GPU.

    On a GPU cuDNN's convolutions and all fused attentions may add up gradients in any order; CLIP's sequences are
    short enough for the unfused attention.
    """
    if device.type == "cpu":
        yield
        return
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        with autocast(device), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cudnn.deterministic = before


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 autocast on a GPU, as in the paper; nothing on a CPU. The dtype of the weights never changes."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


def logits(scale: Tensor, images: Tensor, texts: Tensor) -> Tensor:
    """Class logits (N, classes) of unit embeddings (N, embed_dim) and (classes, embed_dim), in float32 or better.

    Outside autocast: bfloat16 has eight bits, so that at CLIP's scale of 100 a logit would be off by up to a quarter.
    """
    dtype = torch.promote_types(images.dtype, torch.float32)
    with torch.autocast(images.device.type, enabled=False):
        return scale.to(dtype) * images.to(dtype) @ texts.to(dtype).T
