"""Calls of torch functions, and their arguments in order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Function = Callable[..., Any]


class Unsupported(Exception):
    """A torch function uses a parameter in a way that is not known here."""


class Call(NamedTuple):
    """A call of a torch function."""

    function: Function
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


class Signature:
    """A function's arguments in order.

    `inspect` binds them too, at ten times the cost, which is paid for each layer of each batch.
    """

    REQUIRED: Any = inspect.Parameter.empty

    def __init__(self, **defaults: Any) -> None:
        """defaults: of each argument by name, or Signature.REQUIRED."""
        self._defaults = defaults
        self._values = list(defaults.values())
        self._required = sum(value is self.REQUIRED for value in self._values)

    @classmethod
    def of(cls, function: Function) -> Signature:
        """That of a function written in Python; those written in C do not tell theirs."""
        return cls(**{name: p.default for name, p in inspect.signature(function).parameters.items()})

    def bind(self, call: Call) -> list[Any]:
        """The values of all arguments, in order, defaults filled in. Raises Unsupported for a call of another form."""
        _, args, kwargs = call
        if len(args) > len(self._values) or (kwargs and not kwargs.keys() <= self._defaults.keys()):
            raise Unsupported("arguments of another form")
        bound = [*args, *self._values[len(args) :]]
        if kwargs:
            bound = list({**dict(zip(self._defaults, bound, strict=True)), **kwargs}.values())
        if len(args) < self._required and any(value is self.REQUIRED for value in bound):
            raise Unsupported("arguments of another form")
        return bound

    def bind_by_name(self, call: Call) -> dict[str, Any]:
        """As `bind`, by name: for functions of many arguments."""
        return dict(zip(self._defaults, self.bind(call), strict=True))


def pair(value: Any) -> tuple[int, int]:
    """Height and width of what torch takes as one number or two."""
    return (value, value) if isinstance(value, int) else (tuple(value) * 2)[:2]
