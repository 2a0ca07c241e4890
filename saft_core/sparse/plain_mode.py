"""Serving: a forward of the base, or of what is merged into it, by the kernels that mixed batches use."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from saft_core.sparse import attention, convolution, linear, norms
from saft_core.sparse.affine import NOTHING, Affine, Delayed
from saft_core.sparse.call import Call, Function, Unsupported
from saft_core.sparse.functions import METADATA


class PlainMode(TorchFunctionMode):
    """Within this context, torch functions outside of training give what they always give, in less time on a CPU.

    A batch norm may be written over the convolution's result before it. That nothing else reads this result later is
    not looked at here: a mixed batch, which the same model has taken before, refuses a model that does. It looks where
    parameters are used, and so does this.

    parameters: the model's, by their ids.
    """

    def __init__(self, parameters: Container[int]) -> None:
        super().__init__()
        self._parameters = parameters
        self._convolved: Tensor | None = None
        self._delayed: Delayed[Affine] = Delayed()

    def __torch_function__(
        self, function: Function, _: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._delayed.norm and (result := self._delayed.settle(Call(function, args, kwargs))) is not None:
            return result
        if function in METADATA:
            return function(*args, **kwargs)
        call, (convolved, self._convolved) = Call(function, args, kwargs), (self._convolved, None)
        try:
            if function is F.batch_norm:
                self._delayed.norm = norms.plain_batch_norm(call, convolved, self._parameters)
                return self._delayed.norm.y
            if function is F.conv2d:
                y, weight = convolution.plain(call)
                self._convolved = y if id(weight) in self._parameters else None
                return y
            if function in _KERNELS:
                return _KERNELS[function](call)
        except Unsupported:
            pass
        return function(*args, **kwargs)

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._delayed.settle(NOTHING)


_KERNELS: dict[Function, Callable[[Call], Any]] = {
    F.linear: linear.plain,
    F.multi_head_attention_forward: attention.plain,
}
