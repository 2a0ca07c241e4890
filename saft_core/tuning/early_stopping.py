"""Early stopping: keep the values with the lowest validation loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class EarlyStopping:
    """Watches the validation loss after each epoch.

    patience_epochs: how many epochs without a lower loss end the training; must be positive.
    """

    def __init__(self, patience_epochs: int) -> None:
        self._patience = patience_epochs
        self.best: Tensor | None = None
        self._lowest = math.inf
        self._waited = 0

    def note(self, loss: float, values: Tensor) -> None:
        """Record the validation loss of an epoch that ended with `values` (d,)."""
        if loss < self._lowest:
            self._lowest, self._waited, self.best = loss, 0, values.detach().clone()
        else:
            self._waited += 1

    @property
    def over(self) -> bool:
        """Whether patience has run out."""
        return self._waited >= self._patience

    def state(self) -> tuple[Tensor, Tensor]:
        """For a checkpoint: the best values (d,), or empty; and float64 (2,), the lowest loss and the epochs since."""
        best = torch.empty(0) if self.best is None else self.best
        return best, torch.tensor([self._lowest, self._waited], dtype=torch.float64)

    def resume(self, best: Tensor, numbers: Tensor) -> None:
        """Restore what `state` returned."""
        self.best = best if len(best) else None
        self._lowest, self._waited = float(numbers[0]), int(numbers[1])
