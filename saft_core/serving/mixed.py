"""The mixed route: one forward of the base in which every row of the batch has its own weights.

`MixedForward` watches every torch function of the forward. Where a parameter of the base meets activations, the
function's result is corrected by what each row's own difference adds. This rests on where a tensor's memory lies
(watch.py), not on module classes: no use of a parameter can be missed, whatever model it is. Functions are known by
themselves, not by their names (calls.py). A use that nothing here knows raises Unsupported before anything is computed
or written, and the caller takes the swap route: slower, never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from saft_core.clip.flat import FlatParameters
from saft_core.serving import products
from saft_core.serving.calls import HANDLERS, METADATA, PURE, Function, Handler, Unsupported, name_of
from saft_core.serving.plan import Plan
from saft_core.serving.watch import Watch, any_tensor, tensors_in

MIN_BATCH = 2
"""A batch of one row has one adapter, and a dimension of one cannot be told from a broadcast one."""


class MixedForward(TorchFunctionMode):
    """Within this context, torch functions on the parameters of `flat` see each row's own values.

    The batch is the first dimension of all activations, `plan.batch` rows of it.

    constants: addresses of the storages of the model's buffers, which no activations lie in.
    """

    def __init__(self, flat: FlatParameters, plan: Plan, constants: frozenset[int] = frozenset()) -> None:
        super().__init__()
        if plan.batch < MIN_BATCH:
            raise Unsupported("a mixed batch has at least two rows")
        self._batch = plan.batch
        self._watch = Watch(flat, plan, constants)
        self.watches = self._watch.holds
        self._unseen: Tensor | None = None
        """What the last convolution gave, until a function takes it: if that is a batch norm, it may write over it."""

    def __torch_function__(
        self, function: Function, _: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._unseen is not None and function is not F.batch_norm and function not in METADATA:
            self._see([*args, *kwargs.values()])
        if not (any_tensor(args, self.watches) or (kwargs and any_tensor(kwargs.values(), self.watches))):
            return function(*args, **kwargs)
        if function in METADATA:
            return function(*args, **kwargs)
        try:
            return self._answered(function, args, kwargs)
        except Unsupported as error:
            raise Unsupported(f"{name_of(function)}: {error}") from None

    def _see(self, values: Sequence[Any]) -> None:
        if any_tensor(values, lambda tensor: tensor is self._unseen):
            self._unseen = None

    def _answered(self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if self._watch.is_written_over([*args, *kwargs.values()]):
            raise Unsupported("what a batch norm was made of is used again")
        try:
            handler: Handler = HANDLERS.get(function, _unknown)
            return handler(self, function, args, kwargs)
        except Unsupported:
            if function not in PURE or not self._watch.is_alone(args, kwargs):
                raise
            return self._watch.make(function, args, kwargs)

    def _activations(self, x: Tensor) -> Tensor:
        """Activations, a row of them for each row of the batch. A parameter that `expand` spread over the batch is one.

        Raises Unsupported for anything else, a parameter of as many rows as the batch among it.
        """
        spread = x.dim() > 0 and x.shape[0] == self._batch and x.stride(0) == 0
        if self.watches(x) and spread:
            return self._watch.rows(x).select(1, 0)
        if x.dim() < 2 or x.shape[0] != self._batch or self.watches(x) or (self._watch.is_constant(x) and not spread):
            raise Unsupported("its input is no activations with the batch for their first dimension")
        return x

    # What models do with parameters and activations

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`F.linear` of `x` (B, ..., in) with each row's own weight and bias."""
        x = self._activations(x).contiguous()
        of_weight, of_bias = self._watch.own(weight, 2), self._watch.own(bias, 1)
        y = F.linear(x, weight, bias)
        if of_weight is not None:
            products.add_linear(_tokens(y), _tokens(x), of_weight)
        if of_bias is not None:
            products.add_vector(y, of_bias, last=True)
        return y

    def matrix_product(self, x: Tensor, matrix: Tensor) -> Tensor:
        """`x @ matrix` of `x` (B, ..., in) with each row's own matrix."""
        if self.watches(matrix) and matrix.dim() == 2 and not matrix.is_contiguous():
            return self.linear(x, self._watch.make(torch.t, (matrix,), {}), None)
        x = self._activations(x).contiguous()
        own = self._watch.own(matrix, 2)
        y = x @ matrix
        if own is not None:
            products.add_right_product(_tokens(y), _tokens(x), own)
        return y

    def convolution(self, call: Mapping[str, Any]) -> Tensor:
        """`F.conv2d` of `x` (B, in, height, width) with each row's own weight and bias."""
        x, weight, bias = self._activations(call["input"]), call["weight"], call["bias"]
        if isinstance(call["padding"], str) or x.dim() != 4:
            raise Unsupported("a convolution of this form")
        stride, padding, dilation = (_pair(call[name]) for name in ("stride", "padding", "dilation"))
        of_weight, of_bias = self._watch.own(weight, 4), self._watch.own(bias, 1)
        if of_weight is not None and products.is_dense(of_weight, weight.shape, x.shape, stride, padding):
            form = {"stride": stride, "padding": padding, "dilation": dilation}
            y = products.own_convolutions(x, weight, bias, of_weight, **form, groups=call["groups"])
            of_weight = None
        else:
            y = F.conv2d(x, weight, bias, stride, padding, dilation, call["groups"])
        out, x, last = _dense(y, x)
        if of_weight is not None:
            products.add_convolution(
                out, x, weight.shape, of_weight, stride=stride, padding=padding, dilation=dilation, last=last
            )
        if of_bias is not None:
            products.add_vector(_in_memory(out, last), of_bias, last=last)
        self._unseen = _in_order_of(y, out)
        return self._unseen

    def layer_norm(self, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        """`F.layer_norm` over the last dimension of `x` (B, ..., width), each row with its own weight and bias."""
        x = self._activations(x).contiguous()
        of_weight, of_bias = self._watch.own(weight, 1), self._watch.own(bias, 1)
        y, mean, scale = torch.native_layer_norm(x, x.shape[-1:], weight, bias, eps)
        if of_weight is not None or of_bias is not None:
            products.add_layer_norm(y, x, mean, scale, of_weight, of_bias)
        return y

    def batch_norm(
        self, x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> Tensor:
        """`F.batch_norm` outside of training of `x` (B, channels, ...), each row with its own weight and bias."""
        x, unseen, self._unseen = self._activations(x), self._unseen, None
        of_weight, of_bias = self._watch.own(weight, 1), self._watch.own(bias, 1)
        if of_weight is None and of_bias is None:
            return F.batch_norm(x, mean, variance, weight, bias, eps=eps)
        over = x if x is unseen else None
        y = products.own_batch_norm(x, mean, variance, weight, bias, eps, of_weight, of_bias, out=over)
        return y if over is None else self._watch.written_over(over)

    def attention(self, call: Mapping[str, Any]) -> tuple[Tensor, None]:
        """`F.multi_head_attention_forward` to one sequence a row; its activations are (tokens, batch, width)."""
        x, heads, mask = call["query"], call["num_heads"], call["attn_mask"]
        odd = ("key_padding_mask", "bias_k", "bias_v", "static_k", "static_v")
        if (
            any(call[name] is not None for name in odd)
            or call["add_zero_attn"] or call["need_weights"] or call["training"] or call["is_causal"]
            or x.dim() != 3 or call["key"] is not call["value"]
            or (mask is not None and (self.watches(mask) or not mask.is_floating_point()))
        ):  # fmt: skip
            raise Unsupported("attention of this form")
        tokens, batch, width = x.shape
        if mask is not None and mask.dim() == 3:  # of each row and head
            mask = mask.reshape(batch, heads, *mask.shape[1:])
        q, k, v = (part.view(batch, part.shape[1], heads, -1).transpose(1, 2) for part in self._project(call))
        y = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).reshape(batch, tokens, width)
        return self.linear(y, call["out_proj_weight"], call["out_proj_bias"]).transpose(0, 1), None

    def _project(self, call: Mapping[str, Any]) -> Sequence[Tensor]:
        """Queries, keys and values, (batch, tokens, width) each."""
        bias, packed = call["in_proj_bias"], call["in_proj_weight"]
        tokens = self._sequences(call["key"])
        if call["query"] is call["key"] and not call["use_separate_proj_weight"]:
            return self.linear(tokens, packed, bias).chunk(3, dim=-1)
        queries = self._sequences(call["query"])
        if call["use_separate_proj_weight"]:
            weights = [call[f"{name}_proj_weight"] for name in "qkv"]
            biases = self._parts(bias, [len(weight) for weight in weights])
            return [self.linear(*each) for each in zip((queries, tokens, tokens), weights, biases, strict=True)]
        shares = [queries.shape[-1], 2 * queries.shape[-1]]
        (to_q, to_kv), (of_q, of_kv) = self._parts(packed, shares), self._parts(bias, shares)
        return self.linear(queries, to_q, of_q), *self.linear(tokens, to_kv, of_kv).chunk(2, dim=-1)

    def _sequences(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) of (tokens, batch, width)."""
        if self.watches(x):
            if x.shape[1] != self._batch or x.stride(1) != 0:
                raise Unsupported("attention of parameters that are not spread over the batch")
            return self._watch.rows(x).select(2, 0)
        return x.transpose(0, 1)

    def _parts(self, whole: Tensor | None, sizes: Sequence[int]) -> Sequence[Any]:
        """A parameter in parts of these sizes, still watched: those that it was joined from, where they are these."""
        if whole is None:
            return [None] * len(sizes)
        made = self._watch.made_of(whole)
        joined = list(tensors_in(made.args)) if made is not None and made.function is torch.cat else []
        if [len(part) for part in joined] == list(sizes):
            return joined
        parts: Sequence[Any] = self._watch.make(torch.split, (whole, list(sizes)), {})
        return parts

    def scaled_dot_product(self, call: Mapping[str, Any]) -> Tensor:
        """`F.scaled_dot_product_attention` of activations, with each row's own mask."""
        mask = call["attn_mask"]
        named = {name: self._activations(call[name]) for name in ("query", "key", "value")}
        if mask is not None and self.watches(mask):
            mask = self._beside(mask, named["query"].dim())
        return F.scaled_dot_product_attention(**{**call, **named, "attn_mask": mask})

    def sum(self, x: Tensor, parameter: Tensor) -> Tensor | None:
        """`x + parameter`, where the parameter is broadcast over the batch and over nothing else; None elsewhere."""
        x, parameter = (parameter, x) if self.watches(x) else (x, parameter)
        if self.watches(x) or self._watch.is_constant(x) or x.dim() < parameter.dim():
            return None
        shape = [1] * (x.dim() - parameter.dim()) + list(parameter.shape)
        spread = [d for d in range(x.dim()) if shape[d] == 1 and x.shape[d] != 1]
        if len(spread) != 1 or x.shape[spread[0]] != self._batch or not parameter.is_contiguous():
            return None
        own = self._watch.own(parameter, parameter.dim())
        y = (x + parameter).contiguous()
        if own is not None:
            products.add_spread(y, own, spread[0])
        return y

    def elementwise(self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        """A function of each element by itself, of activations and small parameters that are broadcast to them."""
        others = [t for t in tensors_in(args) if not self.watches(t)]
        if kwargs.get("out") is not None or any(isinstance(value, Tensor) for value in kwargs.values()) or not others:
            raise Unsupported("a use of this form")
        dimensions = self._activations(max(others, key=Tensor.dim)).dim()
        own = [self._beside(a, dimensions) if isinstance(a, Tensor) and self.watches(a) else a for a in args]
        return function(*own, **kwargs)  # type: ignore[no-any-return]

    def _beside(self, parameter: Tensor, dimensions: int) -> Tensor:
        """Each row's own values, to be broadcast to activations (B, ...) of so many dimensions."""
        if parameter.dim() < dimensions:
            rows = self._watch.rows(parameter)
            return rows.view(self._batch, *[1] * (dimensions - 1 - parameter.dim()), *parameter.shape)
        if parameter.dim() == dimensions and parameter.shape[0] == 1:
            return self._watch.rows(parameter).select(1, 0)
        if parameter.dim() == dimensions:
            return self._activations(parameter)
        raise Unsupported("a parameter of more dimensions than the activations")

    def joined(self, tensors: Sequence[Tensor], dim: int) -> Tensor:
        """`torch.cat` of activations and of parameters that are spread over the batch."""
        parts = [self._activations(tensor) for tensor in tensors]
        if dim in (0, -parts[0].dim()):
            raise Unsupported("a concatenation along the batch")
        return torch.cat(parts, dim)

    def embedding(self, tokens: Tensor, table: Tensor) -> Tensor:
        """`F.embedding` of `tokens` (B, T) with each row's own table."""
        tokens = self._activations(tokens)
        if tokens.dim() != 2:
            raise Unsupported(f"an embedding of tokens of shape {tuple(tokens.shape)}")
        own = self._watch.own(table, 2)
        y = F.embedding(tokens, table)
        if own is not None:
            products.add_embeddings(y, tokens, own, len(table))
        return y


def _unknown(*_: Any) -> Any:
    raise Unsupported("not known for parameters")


def _tokens(x: Tensor) -> Tensor:
    """(B, T, width) of contiguous (B, ..., width)."""
    return x.view(len(x), -1, x.shape[-1])


def _dense(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Both without gaps in one memory format, which is y's if it can be, and whether that has the channels last."""
    last = y.dim() == 4 and not y.is_contiguous() and y.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if last else torch.contiguous_format
    return y.contiguous(memory_format=memory_format), x.contiguous(memory_format=memory_format), last


def _in_memory(values: Tensor, last: bool) -> Tensor:
    """`values` (B, channels, H, W) with its dimensions as they follow each other in memory."""
    return values.permute(0, 2, 3, 1) if last else values


def _in_order_of(y: Tensor, dense: Tensor) -> Tensor:
    """The values as `y` has them in memory: a model may rely on that."""
    return y if y is dense else y.copy_(dense)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, tuple) and len(value) == 2:
        return value
    return (value, value) if isinstance(value, int) else (tuple(value) * 2)[:2]
