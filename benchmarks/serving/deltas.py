"""Adapters to serve: random ones of the paper's density.

Their entries are drawn evenly from all parameters, which is the hardest case for the mixed route: every layer has some,
and they share no rows or columns. What a training selects is denser in some layers and absent from others.
"""

from __future__ import annotations

import numpy as np

from benchmarks.models import TEMPLATE, labels
from saft_core.clip.backbone import Base
from saft_core.delta.codec import encode
from saft_core.delta.header import DeltaHeader
from saft_core.delta.sparse import SparseDelta
from saft_core.serving.plan import Row
from saft_core.serving.resident import Resident, make_resident

DENSITY = 0.001
CLASSES = 10
SIZE = 1e-4
"""Of one difference; AdamW at the paper's rate moves an entry so far in twenty steps."""


def random_delta(base: Base, seed: int) -> SparseDelta:
    """DENSITY of the base's entries, each moved by about SIZE."""
    generator = np.random.default_rng(seed)
    count = round(base.parameter_count * DENSITY)
    indices = np.sort(generator.choice(base.parameter_count, count, replace=False, shuffle=False)).astype(np.int64)
    return SparseDelta(indices, generator.normal(0, SIZE, count).astype(np.float32))


def random_resident(base: Base, seed: int) -> Resident:
    """The same in memory."""
    return make_resident(random_delta(base, seed), base.flat)


def random_rows(base: Base, count: int) -> list[Row]:
    """So many different adapters at full strength."""
    return [Row(random_resident(base, seed)) for seed in range(count)]


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
