"""Exports of tiny bases that open_clip built, as `load_base` gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from saft_core.calibration import Calibration, Unknown
from saft_core.clip.backbone import Base
from saft_core.clip.loading import load_base
from saft_core.delta import SparseDelta
from saft_core.export.description import Description
from saft_core.export.weights import Merged
from saft_core.serving.adapters import StoredAdapter
from saft_core.serving.engine import Engine, EngineLimits
from tests.fixtures.models import random_delta
from tests.saft_core.clip.checkpoints import config, write_folder

PREPROCESSING = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2], "interpolation": "bilinear", "resize_mode": "squash"}
CALIBRATION = Calibration(0.8, Unknown(12.0, -1.5, 0.4, 0.9))
LABELS = ("cat", "hot_dog", "other")
TEMPLATES = ("a photo of a {}.", "the {}")


def tiny(folder: Path, tower: str = "vit") -> Base:
    """A base from a folder of open_clip's form."""
    return load_base(write_folder(folder, config(tower), PREPROCESSING))


def small_delta(base: Base) -> SparseDelta:
    """Differences that leave a random model's answers finite and apart from the base's."""
    delta = random_delta(base, 1)
    return SparseDelta(delta.indices, (delta.values * np.float32(0.1)).astype(np.float32))


def engine_of(base: Base) -> Engine:
    """An engine that knows one adapter, `small_delta`, by any name."""
    return Engine(base, lambda _: StoredAdapter(small_delta(base)), EngineLimits(threads=1))


def order(engine: Engine, strength: float = 0.6, words: int = 3) -> tuple[Merged, Description]:
    """What is to be written of that adapter."""
    base = engine.base
    known = engine.embed_texts(None, ["tree", "house", "car"][:words]) if words else np.empty((0, base.embed_dim), "f4")
    described = Description("mine", LABELS, TEMPLATES, strength, CALIBRATION, known, 32, 1)
    return Merged(base, engine.weights, small_delta(base), strength), described
