"""Which tensors of a mixed forward are parameters, or made of parameters alone, and what each row has in their place.

A parameter is told by where its memory lies, so a view of one is told too. What a pure function makes of parameters
and of the model's buffers alone (two biases joined, a learned query behind a norm) lies elsewhere: it is remembered
with how it was made, and each row's own is computed when activations meet it.

Every parameter is watched, whether or not a row of this batch differs in it: the forward of a batch then takes the
same turns as the one that was compared with the swap route at the start.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from saft_core.clip.flat import FlatParameters
from saft_core.serving import products
from saft_core.serving.calls import Function, Unsupported
from saft_core.serving.plan import Differences, Plan

MOST_NUMBERS = 1 << 25
"""Of one parameter, or what is made of some, written out for all rows: 128 MiB."""


@dataclass(eq=False)
class Made:
    """What `function` made of parameters and constants alone: the `number`th of its results, or its only one.

    tensor: the base's own, as the model has it; held here, so that its id stays its own.
    """

    watch: Watch
    tensor: Tensor
    function: Function
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    number: int | None

    @cached_property
    def touched(self) -> bool:
        """Whether it may differ for some row."""
        return any_tensor([*self.args, *self.kwargs.values()], self.watch.touches)

    @cached_property
    def rows(self) -> Tensor:
        """Each row's own: (B, *shape)."""
        self.watch.allow(self.tensor.untyped_storage().nbytes() // self.tensor.element_size())
        watched = [t for t in tensors_in([*self.args, *self.kwargs.values()]) if self.watch.touches(t)]

        def once(*row: Tensor) -> Tensor:
            own = {id(tensor): mine for tensor, mine in zip(watched, row, strict=True)}
            args, kwargs = _replaced(self.args, own), {name: _replaced(v, own) for name, v in self.kwargs.items()}
            result = self.function(*args, **kwargs)
            return result if self.number is None else result[self.number]  # type: ignore[no-any-return]

        own = [self.watch.rows(tensor) for tensor in watched]
        try:
            return torch.func.vmap(once)(*own)
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise Unsupported(f"not for all rows at once: {error}") from error


class Watch:
    """The parameters of `flat` in a batch of `plan`.

    constants: addresses of the storages of the model's buffers, which no activations lie in.
    """

    def __init__(self, flat: FlatParameters, plan: Plan, constants: frozenset[int]) -> None:
        self._flat, self._plan, self._constants = flat, plan, constants
        self._number_of = flat.number_of
        self._begin = flat.buffer.data_ptr()
        self._end = self._begin + flat.buffer.nbytes
        self._offsets = [slot.offset for slot in flat.slots]
        self._made: dict[int, Made] = {}
        self._written_over: dict[int, Tensor] = {}

    def holds(self, tensor: Tensor) -> bool:
        """Whether this is a parameter, a view of one, or made of parameters alone; or what was written over since.

        Quick: asked of all tensors.
        """
        return (
            id(tensor) in self._number_of
            or self._begin <= tensor.data_ptr() < self._end
            or id(tensor) in self._written_over
            or (bool(self._made) and id(tensor) in self._made)
        )

    def written_over(self, activations: Tensor) -> Tensor:
        """What is in the memory of these activations now; they themselves must not be used again."""
        self._written_over[id(activations)] = activations  # held, so that its id stays its own
        return activations.detach()

    def is_written_over(self, values: Sequence[Any]) -> bool:
        """Whether any of these is no longer what the model takes it for."""
        return any_tensor(values, lambda tensor: id(tensor) in self._written_over)

    def touches(self, tensor: Tensor) -> bool:
        """Whether some row has values of its own there."""
        if (made := self._made.get(id(tensor))) is not None:
            return made.touched
        return self.holds(tensor) and self._plan.touched[self._slot(tensor)]

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether it lies in one of the model's buffers."""
        return tensor.untyped_storage().data_ptr() in self._constants

    def made_of(self, tensor: Tensor) -> Made | None:
        """How this was made, if it was made of parameters."""
        return self._made.get(id(tensor))

    # From parameters alone

    def is_alone(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether all tensors of a call are parameters, made of parameters, or constants."""
        return not any_tensor([*args, *kwargs.values()], lambda t: not (self.holds(t) or self.is_constant(t)))

    def make(self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a pure `function` gives for parameters and constants; watched from now on."""
        if kwargs.get("out") is not None:
            raise Unsupported("a result is written into another tensor")
        result = function(*args, **kwargs)
        several = isinstance(result, (tuple, list))
        for number, tensor in enumerate(result if several else [result]):
            if not self.holds(tensor):
                made = Made(self, tensor, function, args, kwargs, number if several else None)
                self._made[id(tensor)] = made
        return result

    # What differs

    def allow(self, numbers: int) -> None:
        """Raise Unsupported if so many numbers, for each row of the batch, are too many."""
        if numbers * self._plan.batch > MOST_NUMBERS:
            raise Unsupported("a parameter that is too large to be written out for each row")

    def own(self, tensor: Tensor | None, dimensions: int) -> Differences | None:
        """The differences of what must have so many dimensions, entries in order; None if there are none."""
        if tensor is None or not self.holds(tensor):
            return None
        if tensor.dim() != dimensions:
            raise Unsupported(f"a parameter of {tensor.dim()} dimensions where {dimensions} are known")
        if not self.touches(tensor):
            return None
        if id(tensor) in self._made:
            return self._plan.written((self.rows(tensor) - tensor).flatten(1))
        if not tensor.is_contiguous():
            raise Unsupported("a parameter in another order, or with gaps")
        slot = self._slot(tensor)
        if id(tensor) in self._number_of:
            return self._plan.differences(slot)
        return self._plan.differences(slot, (int(tensor.storage_offset()) - self._offsets[slot], tensor.numel()))

    def rows(self, tensor: Tensor) -> Tensor:
        """Each row's own values of what is held: (B, *shape)."""
        if not self.touches(tensor):
            return tensor.expand(self._plan.batch, *tensor.shape)
        if (made := self._made.get(id(tensor))) is not None:
            return made.rows
        number = self._slot(tensor)
        slot = self._flat.slots[number]
        self.allow(slot.size)
        values = products.dense(self._plan.differences(number), self._plan.batch, slot.size)
        values += self._flat.buffer[slot.offset : slot.offset + slot.size]
        strides = slot.size, *tensor.stride()
        return values.as_strided((self._plan.batch, *tensor.shape), strides, int(tensor.storage_offset()) - slot.offset)

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


def _replaced(value: Any, own: Mapping[int, Tensor]) -> Any:
    """`value` with the tensors of these ids replaced, in lists too."""
    if isinstance(value, Tensor):
        return own.get(id(value), value)
    if type(value) in (list, tuple):
        return type(value)(_replaced(item, own) for item in value)
    return value
