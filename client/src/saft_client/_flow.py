"""Methods written once, for callers that wait and for those that await.

A method of the API is a generator, its *flow*: it yields what has to be done (`Open`, `Next`, `Sleep`), is sent
the outcome, or has the error thrown into it, and returns the result or gives items one by one (`Give`). It does no I/O
itself; a driver does (`_drivers.py`), one that blocks or one of asyncio. `call` and `listing` make methods of flows,
typed for the driver that the object has.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import httpx

from saft_client._requests import Request

if TYPE_CHECKING:
    from saft_client._drivers import Awaited, Blocking

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Open:
    """Send it, and leave the body of the answer to be read in parts. Gives an Answer."""

    request: Request


@dataclass(frozen=True)
class Next:
    """Read on. Gives a chunk (bytes), or None at the end."""

    answer: Answer


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Give(Generic[T]):
    """An item for the caller."""

    item: T


@dataclass(frozen=True)
class Answer:
    """The response, the iterator of its body's parts, and the body once all of them were read."""

    response: httpx.Response
    parts: Any
    body: bytes = b""


Step = Open | Next | Sleep
Flow = Generator[Step, Any, T]
Items = Generator[Step | Give[T], Any, None]


class Run:
    """A flow on its way. `step` is what is to be done next, None at the end; then there is a `result`."""

    def __init__(self, flow: Generator[Any, Any, Any]) -> None:
        self._flow = flow
        self.step: Any = None
        self.result: Any = None
        self._move(flow.send, None)

    def answer(self, value: object = None) -> None:
        """The step is done."""
        self._move(self._flow.send, value)

    def fail(self, error: Exception) -> None:
        """The step has failed. Raises what the flow makes of it."""
        self._move(self._flow.throw, error)

    def _move(self, move: Callable[[Any], Any], value: object) -> None:
        try:
            self.step = move(value)
        except StopIteration as end:
            self.step, self.result = None, end.value


def each(items: Items[T], use: Callable[[T], object]) -> Flow[None]:
    """The flow of `items` with its items used up."""
    run = Run(items)
    while (step := run.step) is not None:
        if isinstance(step, Give):
            use(step.item)
            run.answer()
            continue
        try:
            outcome = yield step
        except Exception as error:
            run.fail(error)
        else:
            run.answer(outcome)


class call(Generic[P, T]):  # noqa: N801 (a decorator)
    """A method that gives what its flow returns: at once, or to be awaited."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, owner: Resource[Blocking], kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, owner: Resource[Awaited], kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, owner: None, kind: type) -> call[P, T]: ...
    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self
        flow = self._flow.__get__(owner)

        @functools.wraps(flow)
        def method(*values: P.args, **named: P.kwargs) -> Any:
            return owner._driver.run(flow(*values, **named))

        return method


class listing(Generic[P, T]):  # noqa: N801 (a decorator)
    """A method that gives an iterator of the items of its flow, for `for` or `async for`."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Items[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, owner: Resource[Blocking], kind: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, owner: Resource[Awaited], kind: type) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, owner: None, kind: type) -> listing[P, T]: ...
    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self
        flow = self._flow.__get__(owner)

        @functools.wraps(flow)
        def method(*values: P.args, **named: P.kwargs) -> Any:
            return owner._driver.each(flow(*values, **named))

        return method


D = TypeVar("D", bound="Blocking | Awaited")


class Resource(Generic[D]):
    """A part of the API, with the driver that runs its flows."""

    def __init__(self, driver: D) -> None:
        self._driver = driver
