"""How many images pass at once (the micro-batch), by the memory that their activations take."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from saft_core.clip.backbone import Base

ACTIVATION_BYTES_PER_PASS = defaultdict(lambda: 8 << 30, cpu=1 << 30)
"""Memory for the image tower's activations, by type of device. A larger value makes a CPU no faster."""


def images_per_pass(base: Base, pixels: Tensor) -> int:
    """How many images like those in `pixels` (N, 3, size, size) fit, at least one, by a forward of the first."""
    kept = _kept_bytes(base, pixels[:1])
    return max(1, ACTIVATION_BYTES_PER_PASS[base.device.type] // max(1, kept))


def _kept_bytes(base: Base, pixels: Tensor) -> int:
    """Bytes that a forward of `pixels` keeps for the backward pass, without the parameters, which are there anyway."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = base.encode_pixels(pixels)
        sizes.pop(base.flat.buffer.untyped_storage().data_ptr(), None)
        kept = sum(sizes.values())
    del features  # lives until here: the memory of what is freed would be given, and counted, again
    return kept
