"""The methods of both clients written once, without I/O (sans-I/O), as generators of steps.

A method of the API is a generator, its *flow*: it yields a step of I/O (`Open`, `Next`, `Sleep`), is sent the result
or has the error thrown into it, and returns its result, or yields items one by one (`Yield`). A driver does the steps
(`_drivers.py`), a synchronous one or one of asyncio. The decorators `call` and `listing` make methods of flows, typed
for the driver of the object.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import httpx

from saft_client._requests import Request

if TYPE_CHECKING:
    from saft_client._drivers import AsyncDriver, SyncDriver

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Open:
    """Send the request, and leave the body of the answer to be read in parts. Gives an Answer."""

    request: Request


@dataclass(frozen=True)
class Next:
    """Read on. Gives a chunk (bytes), or of server-sent events the next one (ServerSentEvent); None at the end."""

    answer: Answer


@dataclass(frozen=True)
class Sleep:
    """Sleep for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Yield(Generic[T]):
    """An item for the caller."""

    item: T


@dataclass(frozen=True)
class Answer:
    """The response, the iterator of its body's chunks or events, and the body once all chunks were read."""

    response: httpx.Response
    parts: Any
    body: bytes = b""


Step = Open | Next | Sleep
Flow = Generator[Step, Any, T]
Items = Generator[Step | Yield[T], Any, None]


class Run:
    """The execution of a flow. step: the next step, None at the end; result: what the flow returned, then."""

    def __init__(self, flow: Generator[Any, Any, Any]) -> None:
        self._flow = flow
        self.step: Any = None
        self.result: Any = None
        self._move(flow.send, None)

    def answer(self, value: object = None) -> None:
        """Go on to the next step, with the result of this one."""
        self._move(self._flow.send, value)

    def fail(self, error: Exception) -> None:
        """Throw the error of a step into the flow. Raises what the flow raises of it."""
        self._move(self._flow.throw, error)

    def _move(self, move: Callable[[Any], Any], value: object) -> None:
        try:
            self.step = move(value)
        except StopIteration as end:
            self.step, self.result = None, end.value


def each(items: Items[T], use: Callable[[T], object]) -> Flow[None]:
    """The flow that calls `use` with each of the items."""
    run = Run(items)
    while (step := run.step) is not None:
        if isinstance(step, Yield):
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
    """Decorator: a method that returns what its flow returns, or a coroutine of it."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, owner: Resource[SyncDriver], kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, owner: Resource[AsyncDriver], kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
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
    """Decorator: a method that returns an iterator of the items of its flow, for `for` or `async for`."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Items[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, owner: Resource[SyncDriver], kind: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, owner: Resource[AsyncDriver], kind: type) -> Callable[P, AsyncIterator[T]]: ...
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


D = TypeVar("D", bound="SyncDriver | AsyncDriver")


class Resource(Generic[D]):
    """A group of methods, with the driver that runs their flows."""

    def __init__(self, driver: D) -> None:
        self._driver = driver
