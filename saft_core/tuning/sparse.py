"""The selected entries as the only trainable state."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from saft_core.clip.flat import FlatParameters, IndexArray


class SparseParameters:
    """The entries of `flat` at `indices` (d,), as one trainable vector.

    The optimizer sees d numbers: moments and weight decay exist for the selected entries only, and nothing else can
    move. `push` writes the vector into the model, `restore` puts the base back bit by bit.
    """

    def __init__(self, flat: FlatParameters, indices: IndexArray) -> None:
        self._flat = flat
        self._indices = torch.from_numpy(indices).to(flat.buffer.device)
        self._originals = flat.buffer[self._indices]
        self.values = nn.Parameter(self._originals.clone())
        self.slot_mask = np.zeros(len(flat.slots), dtype=bool)
        self.slot_mask[flat.slots_of(indices)] = True

    def pull_gradient(self, gradient: Tensor) -> None:
        """Take the selected entries of the flat `gradient` (D,) as the gradient of `values`."""
        self.values.grad = gradient[self._indices]

    def push(self) -> None:
        """Write `values` into the model."""
        self._flat.write(self._indices, self.values.detach())

    def restore(self) -> None:
        """Make the model the base again, bit-identical."""
        self._flat.write(self._indices, self._originals)

    def differences(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """What training added to the base's entries, float32 (d,)."""
        change = (self.values.detach() - self._originals).float().cpu().numpy()
        return np.asarray(change, dtype=np.float32)
