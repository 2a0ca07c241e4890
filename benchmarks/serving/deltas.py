"""Adapters to serve, of the paper's density: on random places, and on those that a training selects.

Random places lie in every layer, as many in each as it is large: hardest for a transformer. What a training selects is
absent from some layers and dense in others. In a convolutional tower these are the first ones too, where an entry meets
thousands of places of a picture: hardest there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.methods import config
from benchmarks.models import TEMPLATE, labels
from saft_core.clip.backbone import Base
from saft_core.clip.flat import IndexArray
from saft_core.data.limits import DataLimits
from saft_core.data.samples import Sample
from saft_core.delta.codec import encode
from saft_core.delta.header import DeltaHeader
from saft_core.delta.sparse import SparseDelta
from saft_core.settings import Limits
from saft_core.sparse.batch_delta import Row
from saft_core.sparse.loaded_delta import LoadedDelta, load_delta
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.strategies import select_for

DENSITY = 0.001
CLASSES = 10
SAMPLES = Path(__file__).parents[2] / "samples/photos/train"
SAMPLES_OF_A_CLASS = 3
SIZE = 1e-4
"""Of one difference; AdamW at the paper's rate moves an entry so far in twenty steps."""


def random_delta(base: Base, seed: int) -> SparseDelta:
    """DENSITY of the base's entries, each moved by about SIZE."""
    generator = np.random.default_rng(seed)
    count = round(base.parameter_count * DENSITY)
    indices = np.sort(generator.choice(base.parameter_count, count, replace=False, shuffle=False)).astype(np.int64)
    return SparseDelta(indices, generator.normal(0, SIZE, count).astype(np.float32))


def random_loaded(base: Base, seed: int) -> LoadedDelta:
    """The same in memory."""
    return load_delta(random_delta(base, seed), base.flat)


def random_rows(base: Base, count: int) -> list[Row]:
    """So many different adapters at full strength."""
    return [Row(random_loaded(base, seed)) for seed in range(count)]


def selected_rows(base: Base, count: int) -> list[Row]:
    """So many different adapters, all on the places that the paper's selection takes for the sample photographs."""
    indices = _selected(base)
    generator = np.random.default_rng(0)
    deltas = [SparseDelta(indices, generator.normal(0, SIZE, len(indices)).astype(np.float32)) for _ in range(count)]
    return [Row(load_delta(delta, base.flat)) for delta in deltas]


def _selected(base: Base) -> IndexArray:
    folders = sorted(SAMPLES.iterdir())
    samples = [
        Sample(target, file.name, file.read_bytes)
        for target, folder in enumerate(folders)
        for file in sorted(folder.iterdir())[:SAMPLES_OF_A_CLASS]
    ]
    loader = PixelLoader(samples, base.pixels, DataLimits.from_attributes(Limits()), side=base.image_side)
    settings = replace(config(), density=DENSITY, template=TEMPLATE)
    meter = WorkMeter(lambda _: None)
    return select_for(base, loader, tuple(folder.name for folder in folders), settings, meter)


def container(base: Base, seed: int) -> bytes:
    """The same as it is stored."""
    header = DeltaHeader(
        base_fingerprint=base.fingerprint,
        base_name=base.name,
        parameter_count=base.parameter_count,
        density=DENSITY,
        template=TEMPLATE,
        classes=labels(CLASSES),
    )
    return encode(random_delta(base, seed), header)
