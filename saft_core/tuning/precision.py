"""The number format of forward and backward passes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 products on a GPU, as in the paper; the model's own format on a CPU. Weights keep theirs everywhere."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()
