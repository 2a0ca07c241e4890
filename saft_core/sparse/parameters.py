"""The selected entries as the only trainable state, of any model with any loss.

parameters = SparseParameters(flat, indices)
optimizer = torch.optim.AdamW([parameters.values])
with parameters.trained():
    for batch in batches:
        parameters.zero_gradient()
        loss(model, batch).backward()
        optimizer.step()
        parameters.push()
    change = parameters.differences()
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from saft_core.clip.flat import FlatParameters, IndexArray
from saft_core.sparse.gradient_mode import SparseGradientMode
from saft_core.sparse.selected import SelectedEntries, SelectedParameter


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
        self.values.grad = torch.zeros_like(self.values)
        self._selected = dict(self._by_parameter(indices))

    def _by_parameter(self, indices: IndexArray) -> Iterator[tuple[int, SelectedParameter]]:
        """Each parameter with selected entries, by its id: its values a view of `values`, their gradient of its own."""
        bounds = np.searchsorted(indices, [slot.offset for slot in self._flat.slots] + [len(self._flat)])
        assert self.values.grad is not None  # noqa: S101 (set above)
        for slot, start, end in zip(self._flat.slots, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            if start == end:
                continue
            values = self.values.detach()[start:end].requires_grad_()
            values.grad = self.values.grad[start:end]
            parameter = self._flat.parameter(slot)
            entries = SelectedEntries(self._indices[start:end] - slot.offset, slot.shape)
            yield id(parameter), SelectedParameter(parameter, values, entries)

    @contextmanager
    def trained(self) -> Iterator[None]:
        """Within the context backward passes give `values` their gradient, and the model none; the base after it."""
        nothing = np.zeros(len(self._flat.slots), dtype=bool)
        try:
            with torch.enable_grad(), self._flat.trainable(nothing), SparseGradientMode(self._selected):
                yield
        finally:
            self.restore()

    @torch.no_grad()
    def zero_gradient(self) -> None:
        """Forget the gradient of earlier backward passes; they add up otherwise."""
        if self.values.grad is not None:
            self.values.grad.zero_()

    @torch.no_grad()
    def load(self, values: Tensor) -> None:
        """Go on from `values` (d,)."""
        self.values.copy_(values)
        self.push()

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
