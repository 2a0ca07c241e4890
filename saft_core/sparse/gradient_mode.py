"""Training: selected parameters get gradients for their selected entries, whatever uses them.

A `TorchFunctionMode` sees each torch function before autograd does, so any module and any loss will do; code compiled
by TorchScript or torch.compile is not seen and is not supported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from saft_core.sparse import batch_norm
from saft_core.sparse.affine import NOTHING, Delayed
from saft_core.sparse.call import Call, Function, Unsupported
from saft_core.sparse.functions import METADATA, OPERATIONS
from saft_core.sparse.selected import SelectedParameter, Selection


class SparseGradientMode(TorchFunctionMode):
    """Within the context, functions of the `selected` parameters (by id) give their gradients to `values`.

    A function with a sparse gradient (functions.py) computes the selected entries alone. In any other, and in any form
    that the sparse one does not take, the dense gradient is computed and the entries are picked out of it.
    """

    def __init__(self, selected: Mapping[int, SelectedParameter]) -> None:
        super().__init__()
        self._selection = Selection(selected)
        self._delayed: Delayed[batch_norm.DelayedNorm] = Delayed()

    def __torch_function__(
        self, function: Function, _: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._delayed.norm and (result := self._delayed.settle(Call(function, args, kwargs))) is not None:
            return result
        if not torch.is_grad_enabled() or function in METADATA:
            return function(*args, **kwargs)
        if function is F.batch_norm:
            try:
                self._delayed.norm = batch_norm.gradient(self._selection, Call(function, args, kwargs))
                return self._delayed.norm.y
            except Unsupported:
                pass
        operation = OPERATIONS.get(function)
        if operation is not None and operation.gradient is not None:
            try:
                return operation.gradient(self._selection, Call(function, args, kwargs))
            except Unsupported:
                pass
        dense = self._selection.dense
        return function(*map(dense, args), **{name: dense(value) for name, value in kwargs.items()})

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._delayed.settle(NOTHING)
