"""Serving: one forward of the base in which every row of the batch has its own weights.

A `TorchFunctionMode` sees every torch function of the forward. Where a parameter of the base meets activations, the
function's result is corrected by what each row's own delta adds. This rests on where a tensor's memory lies
(mixed_batch.py), not on module classes as the layers of peft and vLLM: no use of a parameter can be missed, whatever
model it is. A use that nothing here knows raises Unsupported before anything is computed or written, and the caller
merges each adapter instead: slower, never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from saft_core.clip.flat import FlatParameters
from saft_core.sparse.affine import NOTHING
from saft_core.sparse.batch_delta import BatchDelta
from saft_core.sparse.call import Call, Function, Unsupported
from saft_core.sparse.functions import METADATA, OPERATIONS, PURE, name_of
from saft_core.sparse.mixed_batch import MixedBatch, any_tensor


class MixedBatchMode(TorchFunctionMode):
    """Within this context, torch functions on the parameters of `flat` see each row's own values.

    The batch is the first dimension of all activations, `delta.batch` rows of it.

    constants: addresses of the storages of the model's buffers, which no activations lie in.
    """

    def __init__(self, flat: FlatParameters, delta: BatchDelta, constants: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self._batch = MixedBatch(flat, delta, constants)

    def __torch_function__(
        self, function: Function, _: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, batch = kwargs or {}, self._batch
        if function in METADATA:
            return function(*args, **kwargs)
        operands = [*args, *kwargs.values()]
        tracked = any_tensor(operands, batch.tracks)
        if not (tracked and function is F.batch_norm):  # which takes itself what waits, and what is unseen
            if (result := batch.delayed.settle(Call(function, args, kwargs))) is not None:
                return result
            batch.see(operands)
        if not tracked:
            return function(*args, **kwargs)
        try:
            batch.check_readable(operands)
            return self._mixed(Call(function, args, kwargs))
        except Unsupported as error:
            raise Unsupported(f"{name_of(function)}: {error}") from None

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._batch.delayed.settle(NOTHING)

    def _mixed(self, call: Call) -> Any:
        operation = OPERATIONS.get(call.function)
        try:
            if operation is None or operation.mixed is None:
                raise Unsupported("not known for parameters")
            return operation.mixed(self._batch, call)
        except Unsupported:
            if call.function not in PURE or not self._batch.are_parameters(call):
                raise
            return self._batch.derive(call)
