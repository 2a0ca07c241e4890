"""A mixed batch to the operations in it: which tensors are parameters, and what each row has in their place.

A parameter is told by where its memory lies, so a view of one is told too. What a pure function makes of parameters
and of the model's buffers alone (two biases concatenated, a learned query behind a norm) lies elsewhere: it is
remembered with how it was derived, and each row's own is computed when activations meet it.

Every parameter is tracked, whether or not a row of this batch differs in it: the forward of a batch then takes the
same turns as the one that was compared with the merged model at the start.
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from saft_core.clip.flat import FlatParameters
from saft_core.sparse.affine import DelayedAffine
from saft_core.sparse.batch_delta import BatchDelta
from saft_core.sparse.call import Call, Unsupported
from saft_core.sparse.param_delta import ParamDelta, to_dense

MOST_NUMBERS = 1 << 25
"""Of one parameter, or what is derived from some, written out for all rows: 128 MiB."""
MIN_BATCH = 2
"""A batch of one row has one adapter, and a dimension of one cannot be told from a broadcast one."""


@dataclass(eq=False)
class Derived:
    """What a function made of parameters and constants alone: the `number`th of its results, or its only one.

    tensor: the base's own, as the model has it; held here, so that its id stays its own.
    """

    batch: MixedBatch
    tensor: Tensor
    call: Call
    number: int | None

    @property
    def operands(self) -> Sequence[Any]:
        """All arguments of the call."""
        return [*self.call.args, *self.call.kwargs.values()]

    @cached_property
    def touched(self) -> bool:
        """Whether it may differ for some row."""
        return any_tensor(self.operands, self.batch.touches)

    @cached_property
    def rows(self) -> Tensor:
        """Each row's own: (B, *shape)."""
        self.batch.allow(self.tensor.untyped_storage().nbytes() // self.tensor.element_size())
        tracked = [tensor for tensor in tensors_in(self.operands) if self.batch.touches(tensor)]

        def once(*values: Tensor) -> Tensor:
            in_place_of = {id(tensor): own for tensor, own in zip(tracked, values, strict=True)}
            kwargs = {name: _replaced(value, in_place_of) for name, value in self.call.kwargs.items()}
            result = self.call.function(*_replaced(tuple(self.call.args), in_place_of), **kwargs)
            return result if self.number is None else result[self.number]  # type: ignore[no-any-return]

        own = [self.batch.rows(tensor) for tensor in tracked]
        try:
            return torch.func.vmap(once)(*own)
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise Unsupported(f"not for all rows at once: {error}") from error


class MixedBatch:
    """The parameters of `flat` in a batch with these deltas. The batch is the first dimension of all activations.

    size:      the rows of the batch.
    constants: addresses of the storages of the model's buffers, which no activations lie in.
    unseen:    what the last convolution gave, until a function takes it: if that is a batch norm, it may write over it.
    delayed:   the batch norm that waits, if one does.
    """

    def __init__(self, flat: FlatParameters, delta: BatchDelta, constants: frozenset[int]) -> None:
        if delta.batch < MIN_BATCH:
            raise Unsupported("a mixed batch has at least two rows")
        self.size = delta.batch
        self.unseen: Tensor | None = None
        self.delayed = DelayedAffine()
        self._flat, self._delta, self._constants = flat, delta, constants
        self._number_of = flat.number_of
        self._begin = flat.buffer.data_ptr()
        self._end = self._begin + flat.buffer.nbytes
        self._offsets = [slot.offset for slot in flat.slots]
        self._derived: dict[int, Derived] = {}
        self._overwritten: dict[int, weakref.ref[Tensor]] = {}

    def tracks(self, tensor: Tensor) -> bool:
        """Whether this is a parameter, a view of one, or derived from parameters alone; or was overwritten since.

        Quick: asked of all tensors.
        """
        return (
            id(tensor) in self._number_of
            or self._begin <= tensor.data_ptr() < self._end
            or id(tensor) in self._overwritten
            or (bool(self._derived) and id(tensor) in self._derived)
        )

    def touches(self, tensor: Tensor) -> bool:
        """Whether some row has values of its own there."""
        if (derived := self._derived.get(id(tensor))) is not None:
            return derived.touched
        return self.tracks(tensor) and self._delta.touched[self._slot(tensor)]

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether it lies in one of the model's buffers."""
        return tensor.untyped_storage().data_ptr() in self._constants

    # Activations

    def activations(self, x: Tensor) -> Tensor:
        """Activations, a row of them for each row of the batch. A parameter expanded over the batch becomes some.

        Raises Unsupported for anything else, a parameter of as many rows as the batch among it.
        """
        expanded = x.dim() > 0 and x.shape[0] == self.size and x.stride(0) == 0
        if self.tracks(x) and expanded:
            return self.rows(x).select(1, 0)
        if x.dim() < 2 or x.shape[0] != self.size or self.tracks(x) or (self.is_constant(x) and not expanded):
            raise Unsupported("its input is no activations with the batch for their first dimension")
        return x

    def batch_first(self, x: Tensor) -> Tensor:
        """Activations (B, tokens, width) of (tokens, B, width), as attention takes them."""
        if not self.tracks(x):
            return x.transpose(0, 1)
        if x.shape[1] != self.size or x.stride(1) != 0:
            raise Unsupported("attention of parameters that are not expanded over the batch")
        return self.rows(x).select(2, 0)

    def broadcast(self, parameter: Tensor, dimensions: int) -> Tensor:
        """Each row's own values, to be broadcast to activations (B, ...) of so many dimensions."""
        if parameter.dim() < dimensions:
            rows = self.rows(parameter)
            return rows.view(self.size, *[1] * (dimensions - 1 - parameter.dim()), *parameter.shape)
        if parameter.dim() == dimensions and parameter.shape[0] == 1:
            return self.rows(parameter).select(1, 0)
        if parameter.dim() == dimensions:
            return self.activations(parameter)
        raise Unsupported("a parameter of more dimensions than the activations")

    def overwrite(self, activations: Tensor) -> Tensor:
        """What is in the memory of these activations now; they themselves must not be used again."""
        number = id(activations)
        # Another tensor may have this number as soon as this one is gone.
        self._overwritten[number] = weakref.ref(activations, lambda _: self._overwritten.pop(number, None))
        return activations.detach()

    def see(self, operands: Sequence[Any]) -> None:
        """A function takes these, so that they must not be written over."""
        if self.unseen is not None and any_tensor(operands, lambda tensor: tensor is self.unseen):
            self.unseen = None

    def check_readable(self, operands: Sequence[Any]) -> None:
        """Raise Unsupported if any of these is no longer what the model takes it for."""
        if self._overwritten and any_tensor(operands, lambda tensor: id(tensor) in self._overwritten):
            raise Unsupported("what a batch norm was made of is used again")

    # From parameters alone

    def are_parameters(self, call: Call) -> bool:
        """Whether all tensors of a call are parameters, derived from parameters, or constants."""
        operands = [*call.args, *call.kwargs.values()]
        return not any_tensor(operands, lambda t: not (self.tracks(t) or self.is_constant(t)))

    def derive(self, call: Call) -> Any:
        """What a pure function gives for parameters and constants; tracked from now on."""
        if call.kwargs.get("out") is not None:
            raise Unsupported("a result is written into another tensor")
        result = call.function(*call.args, **call.kwargs)
        several = isinstance(result, (tuple, list))
        for number, tensor in enumerate(result if several else [result]):
            if not self.tracks(tensor):
                self._derived[id(tensor)] = Derived(self, tensor, call, number if several else None)
        return result

    def split(self, whole: Tensor | None, sizes: Sequence[int]) -> Sequence[Tensor | None]:
        """A parameter in parts of these lengths, still tracked: those it was concatenated from, if these have them."""
        if whole is None:
            return [None] * len(sizes)
        derived = self._derived.get(id(whole))
        parts = list(tensors_in(derived.operands)) if derived is not None and derived.call.function is torch.cat else []
        if [len(part) for part in parts] == list(sizes):
            return parts
        found: Sequence[Tensor] = self.derive(Call(torch.split, (whole, list(sizes)), {}))
        return found

    # What differs

    def allow(self, numbers: int) -> None:
        """Raise Unsupported if so many numbers, for each row of the batch, are too many."""
        if numbers * self.size > MOST_NUMBERS:
            raise Unsupported("a parameter that is too large to be written out for each row")

    def delta_of(self, tensor: Tensor | None, dimensions: int) -> ParamDelta | None:
        """What the rows add to a parameter, which must have so many dimensions, entries in order; None for nothing."""
        if tensor is None:
            return None
        number = self._number_of.get(id(tensor))
        if number is None and not self.tracks(tensor):
            return None
        if tensor.dim() != dimensions:
            raise Unsupported(f"a parameter of {tensor.dim()} dimensions where {dimensions} are known")
        if not (self.touches(tensor) if number is None else self._delta.touched[number]):
            return None
        if id(tensor) in self._derived:
            return self._delta.from_dense((self.rows(tensor) - tensor).flatten(1))
        if not tensor.is_contiguous():
            raise Unsupported("a parameter in another order, or with gaps")
        if number is not None:
            return self._delta.of(number)
        slot = self._slot(tensor)
        return self._delta.of(slot, (int(tensor.storage_offset()) - self._offsets[slot], tensor.numel()))

    def rows(self, tensor: Tensor) -> Tensor:
        """Each row's own values of what is tracked: (B, *shape)."""
        if not self.touches(tensor):
            return tensor.expand(self.size, *tensor.shape)
        if (derived := self._derived.get(id(tensor))) is not None:
            return derived.rows
        number = self._slot(tensor)
        slot = self._flat.slots[number]
        self.allow(slot.size)
        values = to_dense(self._delta.of(number), self.size, slot.size)
        values += self._flat.buffer[slot.offset : slot.offset + slot.size]
        strides = slot.size, *tensor.stride()
        return values.as_strided((self.size, *tensor.shape), strides, int(tensor.storage_offset()) - slot.offset)

    def _slot(self, tensor: Tensor) -> int:
        """The slot that the tensor is, or is a view of. Raises Unsupported for one that reaches over several."""
        if (number := self._number_of.get(id(tensor))) is not None:
            return number
        first = int(tensor.storage_offset())
        last = first + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        slot = bisect_right(self._offsets, first) - 1
        if last >= self._flat.slots[slot].offset + self._flat.slots[slot].size:
            raise Unsupported("a view over several parameters")
        return slot


def any_tensor(values: Iterable[Any], holds: Callable[[Tensor], bool]) -> bool:
    """Whether this holds for any of these that is a tensor, or for one in a list of them.

    A loop, for it goes over all arguments of all functions: a generator took half a millisecond of a batch.
    """
    for value in values:
        if isinstance(value, Tensor):
            if holds(value):
                return True
        elif isinstance(value, (list, tuple)) and any_tensor(value, holds):
            return True
    return False


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """All tensors in these, and in lists of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)


def _replaced(value: Any, in_place_of: Mapping[int, Tensor]) -> Any:
    """`value` with the tensors of these ids replaced, in lists too."""
    if isinstance(value, Tensor):
        return in_place_of.get(id(value), value)
    if type(value) in (list, tuple):
        return type(value)(_replaced(item, in_place_of) for item in value)
    return value
