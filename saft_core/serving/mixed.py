"""The mixed route: one forward of the base in which every row of the batch has its own weights.

`MixedForward` watches every torch function of the forward. Where one takes a parameter of the base that differs for
some row, the function's result is corrected. This rests on where a tensor's memory lies, not on module classes: a view
of a parameter still lies in the base's flat buffer, so no use of a parameter can be missed, whatever model it is. A use
that nothing here knows raises Unsupported, and the caller takes the swap route: slower, never wrong.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from saft_core.clip.flat import FlatParameters
from saft_core.serving import products
from saft_core.serving.calls import HANDLERS, Unsupported
from saft_core.serving.plan import Differences, Plan

MIN_BATCH = 2
"""A batch of one row has one adapter, and a dimension of one cannot be told from a broadcast one."""


class MixedForward(TorchFunctionMode):
    """Within this context, torch functions on the parameters of `flat` see each row's own values.

    The batch is the first dimension of all activations, `plan.batch` rows of it.
    """

    def __init__(self, flat: FlatParameters, plan: Plan) -> None:
        super().__init__()
        if plan.batch < MIN_BATCH:
            raise Unsupported("a mixed batch has at least two rows")
        self._flat = flat
        self._plan = plan
        self._number_of, self._touched = flat.number_of, plan.touched
        self._begin = flat.buffer.data_ptr()
        self._end = self._begin + flat.buffer.nbytes
        self._offsets = [slot.offset for slot in flat.slots]
        self._joined: dict[int, tuple[Tensor, Sequence[Tensor]]] = {}

    def __torch_function__(
        self, function: Callable[..., Any], _: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not (_any_tensor(args, self._differs) or (kwargs and _any_tensor(kwargs.values(), self._differs))):
            return function(*args, **kwargs)
        handler = HANDLERS.get(getattr(function, "__name__", ""))
        if handler is not None:
            return handler(self, function, args, kwargs)
        result = function(*args, **kwargs)
        if not _any_tensor((result,), lambda tensor: not self._lies_in_base(tensor)):
            return result  # no tensor at all, or a view that is still watched
        raise Unsupported(f"{getattr(function, '__name__', function)} of a parameter with differences")

    # What differs

    def _lies_in_base(self, tensor: Tensor) -> bool:
        return self._begin <= tensor.data_ptr() < self._end

    def _differs(self, tensor: Tensor) -> bool:
        slot = self._number_of.get(id(tensor))
        if slot is None:
            if not self._begin <= tensor.data_ptr() < self._end:  # `_lies_in_base`, without a call for each argument
                return id(tensor) in self._joined
            slot = self._slot(tensor)
        return self._touched[slot]

    def _slot(self, tensor: Tensor) -> int:
        """The slot that the tensor is, or is a view of. Raises Unsupported for one that reaches over several."""
        first = int(tensor.storage_offset())
        last = first + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        slot = bisect_right(self._offsets, first) - 1
        if last >= self._flat.slots[slot].offset + self._flat.slots[slot].size:
            raise Unsupported("a view over several parameters")
        return slot

    def _is_batch(self, x: Tensor) -> bool:
        """Whether these are activations, a row of them for each row of the batch, and no parameter that differs."""
        return x.shape[0] == self._plan.batch and not self._differs(x)

    def _own(self, tensor: Tensor | None, dimensions: int) -> Differences | None:
        """The differences of what must be a parameter of so many dimensions, or a part; None if there are none."""
        if tensor is None or not self._differs(tensor):
            return None
        if tensor.dim() != dimensions:
            raise Unsupported(f"a parameter of {tensor.dim()} dimensions where {dimensions} are known")
        return self._differences(tensor)

    def _differences(self, tensor: Tensor) -> Differences:
        """The differences of a parameter that differs, or of a view of entries of it that follow each other."""
        if (slot := self._number_of.get(id(tensor))) is not None:
            return self._plan.differences(slot)
        if id(tensor) in self._joined:
            raise Unsupported("a joined vector")
        if not tensor.is_contiguous():
            raise Unsupported("a parameter in another order, or with gaps")
        slot = self._slot(tensor)
        return self._plan.differences(slot, (int(tensor.storage_offset()) - self._offsets[slot], tensor.numel()))

    def _rows_of(self, tensor: Tensor) -> Tensor:
        """Each row's own values of a small parameter: (batch, *shape)."""
        differences = products.dense(self._differences(tensor), self._plan.batch, tensor.numel())
        return tensor + differences.view(-1, *tensor.shape)

    # What the model does with parameters

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`F.linear` with each row's own weight and bias."""
        if not self._is_batch(x) or not 2 <= x.dim() <= 3:
            raise Unsupported(f"a linear layer on activations of shape {tuple(x.shape)}")
        if bias is not None and bias.dim() != 1:
            raise Unsupported("a bias that is no vector")
        tokens = (x if x.dim() == 3 else x[:, None]).contiguous()
        y = F.linear(tokens, weight, bias)
        if (own := self._own(weight, 2)) is not None:
            products.add_linear(y, tokens, own)
        if (own := self._own(bias, 1)) is not None:
            products.add_vector(y, own, last=True)
        return y if x.dim() == 3 else y[:, 0]

    def matrix_product(self, x: Tensor, matrix: Tensor) -> Tensor:
        """`x @ matrix` with each row's own matrix."""
        if not self._is_batch(x) or not 2 <= x.dim() <= 3:
            raise Unsupported("a product of this form")
        y = x @ matrix
        if (own := self._own(matrix, 2)) is not None:
            tokens, out = (x, y) if x.dim() == 3 else (x[:, None], y[:, None])
            products.add_right_product(out, tokens.contiguous(), own)
        return y

    def convolution(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
    ) -> Tensor:
        """`F.conv2d` with each row's own weight and bias."""
        stride, dilation = _pair(stride), _pair(dilation)
        if isinstance(padding, str) or groups != 1 or dilation != (1, 1) or x.dim() != 4 or not self._is_batch(x):
            raise Unsupported("a convolution of this form")
        padding = _pair(padding)
        y = F.conv2d(x, weight, bias, stride, padding)
        if not y.is_contiguous():
            raise Unsupported("a convolution in another order in memory")
        if (own := self._own(weight, 4)) is not None:
            products.add_convolution(y, x.contiguous(), weight.shape, own, stride=stride, padding=padding)
        if (own := self._own(bias, 1)) is not None:
            products.add_vector(y, own)
        return y

    def layer_norm(self, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        """`F.layer_norm` over the last dimension of `x` (B, T, width) or (B, width), each row with its own values."""
        if not self._is_batch(x) or not 2 <= x.dim() <= 3:
            raise Unsupported(f"a layer norm of activations of shape {tuple(x.shape)}")
        x = x.contiguous()
        y, mean, scale = torch.native_layer_norm(x, x.shape[-1:], weight, bias, eps)
        products.add_layer_norm(y, x, mean, scale, self._own(weight, 1), self._own(bias, 1))
        return y

    def batch_norm(
        self, x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> Tensor:
        """`F.batch_norm` outside of training of `x` (B, channels, ...), each row with its own weight and bias."""
        if not self._is_batch(x):
            raise Unsupported("a batch norm whose first dimension is not the batch")
        y = F.batch_norm(x, mean, variance, weight, bias, eps=eps)
        if not (x.is_contiguous() and y.is_contiguous()):
            raise Unsupported("a batch norm in another order in memory")
        products.add_batch_norm(y, x, mean, variance, eps, self._own(weight, 1), self._own(bias, 1))
        return y

    def attention(self, call: Mapping[str, Any]) -> tuple[Tensor, None]:
        """`F.multi_head_attention_forward` to one sequence a row; its activations are (tokens, batch, width)."""
        x, heads, mask = call["query"], call["num_heads"], call["attn_mask"]
        odd = ("key_padding_mask", "bias_k", "bias_v", "static_k", "static_v")
        if (
            any(call[name] is not None for name in odd)
            or call["add_zero_attn"] or call["need_weights"] or call["training"]
            or x.dim() != 3 or call["key"] is not call["value"]
            or (mask is not None and (mask.dim() != 2 or self._differs(mask)))
            or self._differs(x) or self._differs(call["key"])
        ):  # fmt: skip
            raise Unsupported("attention of this form")
        tokens, batch, width = x.shape
        q, k, v = (part.view(batch, part.shape[1], heads, -1).transpose(1, 2) for part in self._project(call))
        y = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).reshape(batch, tokens, width)
        return self.linear(y, call["out_proj_weight"], call["out_proj_bias"]).transpose(0, 1), None

    def _project(self, call: Mapping[str, Any]) -> Sequence[Tensor]:
        """Queries, keys and values, (batch, tokens, width) each."""
        bias, packed = call["in_proj_bias"], call["in_proj_weight"]
        tokens = call["key"].transpose(0, 1).contiguous()
        if call["query"] is call["key"] and not call["use_separate_proj_weight"]:
            return self.linear(tokens, packed, bias).chunk(3, dim=-1)
        queries = call["query"].transpose(0, 1).contiguous()
        if call["use_separate_proj_weight"]:
            weights = [call[f"{name}_proj_weight"] for name in "qkv"]
            biases = [None] * 3 if bias is None else self._parts(bias, [len(weight) for weight in weights])
            return [self.linear(*each) for each in zip((queries, tokens, tokens), weights, biases, strict=True)]
        shares = [queries.shape[-1], 2 * queries.shape[-1]]
        to_q, to_kv = packed.split(shares)
        of_q, of_kv = (None, None) if bias is None else bias.split(shares)
        return self.linear(queries, to_q, of_q), *self.linear(tokens, to_kv, of_kv).chunk(2, dim=-1)

    def _parts(self, vector: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
        """A vector in parts of these sizes: those that it was joined from, which are still watched, or views of it."""
        if id(vector) not in self._joined:
            views: Sequence[Tensor] = vector.split(list(sizes))
            return views
        _, parts = self._joined[id(vector)]
        if [len(part) for part in parts] != list(sizes):
            raise Unsupported("a vector joined from other parts than those that are used")
        return parts

    def sum(self, x: Tensor, parameter: Tensor) -> Tensor:
        """`x + parameter`, where the parameter is broadcast over the batch and over nothing else."""
        x, parameter = (parameter, x) if self._differs(x) else (x, parameter)
        if self._differs(x):
            raise Unsupported("a sum of two parameters")
        shape = [1] * (x.dim() - parameter.dim()) + list(parameter.shape)
        spread = [d for d in range(x.dim()) if shape[d] == 1 and x.shape[d] != 1]
        if x.dim() < parameter.dim() or len(spread) != 1 or x.shape[spread[0]] != self._plan.batch:
            raise Unsupported("a sum of this form")
        y = (x + parameter).contiguous()
        products.add_spread(y, self._differences(parameter), spread[0])
        return y

    def joined(self, tensors: Sequence[Tensor], dim: int) -> Tensor:
        """`torch.cat`: vectors, which stay watched, or one token spread over the batch in front of others."""
        if all(tensor.dim() == 1 for tensor in tensors):
            y = torch.cat(list(tensors), dim)
            self._joined[id(y)] = (y, tensors)  # holds y: its id stays its own
            return y
        if dim != 1 or any(len(tensor) != self._plan.batch for tensor in tensors):
            raise Unsupported("a concatenation of this form")
        parts = [
            self._rows_of(tensor[0]) if tensor.stride(0) == 0 and self._differs(tensor) else self._plain(tensor)
            for tensor in tensors
        ]
        return torch.cat(parts, dim)

    def _plain(self, tensor: Tensor) -> Tensor:
        if self._differs(tensor):
            raise Unsupported("a concatenation of a parameter that is not spread over the batch")
        return tensor

    def embedding(self, tokens: Tensor, table: Tensor, call: Mapping[str, Any]) -> Tensor:
        """`F.embedding` with each row's own table."""
        if call["max_norm"] is not None or not self._is_batch(tokens) or tokens.dim() != 2:
            raise Unsupported("an embedding of this form")
        y = F.embedding(tokens, table)
        if (own := self._own(table, 2)) is not None:
            products.add_embeddings(y, tokens, own, len(table))
        return y


def _any_tensor(values: Iterable[Any], holds: Callable[[Tensor], bool]) -> bool:
    """Whether this holds for any of these that is a tensor, or for one in a list of them.

    A loop, for it goes over all arguments of all functions: a generator took half a millisecond of a batch.
    """
    for value in values:
        if isinstance(value, Tensor):
            if holds(value):
                return True
        elif isinstance(value, (list, tuple)) and _any_tensor(value, holds):
            return True
    return False


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, tuple) and len(value) == 2:
        return value
    return (value, value) if isinstance(value, int) else (tuple(value) * 2)[:2]
