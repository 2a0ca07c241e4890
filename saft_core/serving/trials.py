"""What the engine tries itself with at its start: rows and inputs that are nobody's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from saft_core.clip.backbone import Base
from saft_core.delta import SparseDelta
from saft_core.serving.encoder import TEXT
from saft_core.sparse.batch_delta import Row
from saft_core.sparse.loaded_delta import load_delta

LEAST_SIZE = 0.02
"""Of a parameter that is all zeros, such as a bias, which would not change otherwise."""


def changed_row(base: Base, seed: int, density: float = 0.0) -> Row:
    """A small random change of every parameter, or of a share `density` of its entries if that is more."""
    generator = np.random.default_rng(seed)
    picks, values = [], []
    for slot in base.flat.slots:
        count = min(slot.size, max(8, int(slot.size * density)))
        picks.append(slot.offset + np.unique(generator.integers(0, slot.size, count)))
        size = max(LEAST_SIZE, float(base.flat.buffer[slot.offset : slot.offset + slot.size].abs().mean()))
        values.append(generator.normal(0, 0.2 * size, len(picks[-1])))
    delta = SparseDelta(np.concatenate(picks).astype(np.int64), np.concatenate(values).astype(np.float32))
    return Row(load_delta(delta, base.flat))


def inputs_of(base: Base, kind: str, rows: int) -> Any:
    """So many texts, or random pixels float32 (rows, 3, size, size)."""
    if kind == TEXT:
        return [f"a photo of a {'very ' * (n % 3)}small thing" for n in range(rows)]
    shape = base.pixels([Image.new("RGB", (64, 64))]).shape[1:]
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(0)).to(base.device)
