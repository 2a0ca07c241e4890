"""Warm-up of a worker: loads what torch loads at first use, so that no job waits for it or mistimes its steps."""

from __future__ import annotations

import io
from dataclasses import asdict

from PIL import Image

from saft_core.clip.backbone import Base
from saft_core.data.limits import DataLimits
from saft_core.data.samples import Sample
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.strategies import select_for
from saft_core.tuning.training import train_for

LABELS = ("cat", "dog")


def warm_up(base: Base, limits: DataLimits) -> None:
    """Select and take one step on a grey image with the base's defaults; the base is bit-identical afterwards.

    The first AdamW of a process imports 1.5 s of torch, the first backward pass another second.
    """
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(file, "PNG")
    config = TrainingConfig(**asdict(base.defaults) | {"epochs": 1, "seed": 0})
    loader = PixelLoader([Sample(0, "grey.png", file.getvalue)], base.pixels, limits, side=base.image_side)
    meter = WorkMeter(lambda _: None)
    train_for(base, loader, LABELS, select_for(base, loader, LABELS, config, meter), config, meter)
