"""A decoded delta as it stays in memory between requests, and how it is merged into the base."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.clip.flat import FlatParameters
from saft_core.delta import SparseDelta
from saft_core.errors import InvalidDelta
from saft_core.sparse import loops
from saft_core.sparse.param_delta import use_torchs_threads

INT32_ENTRIES = 2**31


@dataclass(frozen=True, eq=False)
class LoadedDelta:
    """A decoded delta on the base's device: eight bytes an entry, 1.2 MB for 0.1% of a ViT-B/16.

    positions: int32 (K,), strictly increasing flat indices; int64 only on a base of more than 2**31 parameters.
    values:    float32 (K,), what is added to the base's entries.
    bounds:    int64 (slots + 1,) on the host; entries `bounds[s]` to `bounds[s + 1]` lie in slot s of the base.
    """

    positions: Tensor
    values: Tensor
    bounds: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self.positions.nbytes + self.values.nbytes + self.bounds.nbytes

    def scaled(self, strength: float) -> Tensor:
        """`values` scaled for WiSE-FT interpolation (arXiv 2109.01903); untouched at strength 1."""
        return self.values if strength == 1 else self.values * strength


def load_delta(delta: SparseDelta, flat: FlatParameters) -> LoadedDelta:
    """Move `delta` to where `flat` lives. Raises InvalidDelta when it reaches beyond the base."""
    if len(delta) and delta.indices[-1] >= len(flat):
        raise InvalidDelta("the delta reaches beyond the base's parameters")
    device = flat.buffer.device
    dtype = np.int32 if len(flat) < INT32_ENTRIES else np.int64
    return LoadedDelta(
        torch.from_numpy(delta.indices.astype(dtype)).to(device),
        torch.from_numpy(delta.values).to(device),
        np.searchsorted(delta.indices, [*(slot.offset for slot in flat.slots), len(flat)]),
    )


@contextmanager
def merged(flat: FlatParameters, positions: Tensor, values: Tensor) -> Iterator[None]:
    """Within the context the base has these values (K,) added at `positions` (K,); bit-identical to before after it.

    As `FlatParameters.added`, which other devices and dtypes than float32 on a CPU take. There it takes half the time:
    one pass over the entries each way, and no copies of them.
    """
    if flat.buffer.device.type != "cpu" or flat.buffer.dtype != torch.float32:
        with flat.added(positions.long(), values):
            yield
        return
    weights, at, added = flat.buffer.detach().numpy(), positions.numpy(), values.numpy()
    originals = np.empty_like(added)
    use_torchs_threads()
    loops.add_at(weights, at, added, originals)
    try:
        yield
    finally:
        loops.write_at(weights, at, originals)
