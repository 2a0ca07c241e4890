"""Caches bounded by bytes, in which each value is loaded once for all that wait for it.

Not `cachetools`: in its caches a value in use can be evicted, and a cache full of values in use takes no other.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from saft_core.errors import DeadlinePassed
from saft_core.serving.shares import CLIENT

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass
class CacheCounters:
    """What a cache did since it was made; `bytes` is what it holds now."""

    hits: int = 0
    loads: int = 0
    evictions: int = 0
    bytes: int = 0


class ByteBoundedCache(Generic[Key, Value]):
    """Least-recently-used values up to `capacity_bytes`, safe for many threads.

    Single flight: while a key is loaded, all that ask for it wait for the same load, each until its own deadline. The
    load runs in a thread of its own and belongs to none of them: it goes on when one gives up. A load that fails fails
    all that wait and is not remembered. A value larger than the capacity is handed out and not kept. Pinned values
    stay: the cache outgrows its capacity only while what is in use does.
    """

    def __init__(self, capacity_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._capacity_bytes = capacity_bytes
        self._size_of = size_of
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._loading: dict[Key, Future[Value]] = {}
        self._pins: Counter[Key] = Counter()
        self._lock = threading.Lock()
        self.counters = CacheCounters()

    def get(self, key: Key, load: Callable[[], Value], deadline: float = math.inf) -> Value:
        """The value of `key`, from memory or from `load()`.

        deadline: of this caller, in seconds on `time.monotonic()`'s clock.

        Raises DeadlinePassed when that has come, and whatever `load` raises.
        """
        while True:
            with self._lock:
                if key in self._values:
                    self.counters.hits += 1
                    self._values.move_to_end(key)
                    return self._values[key]
                loaded = self._loading.get(key) or self._start_loading(key, load)
            CLIENT.get().rest()
            try:
                return loaded.result(max(0.0, min(deadline - time.monotonic(), threading.TIMEOUT_MAX)))
            except TimeoutError:
                if not loaded.done():
                    raise DeadlinePassed from None
                raise
            except DeadlinePassed:  # the load's own: this caller may have more time
                if time.monotonic() >= deadline:
                    raise

    def peek(self, key: Key) -> Value | None:
        """The value of `key` if it is in memory; nothing is loaded, counted or kept for longer."""
        with self._lock:
            return self._values.get(key)

    def count_hit(self) -> None:
        """Count as a hit what was asked of this cache and is kept elsewhere in memory."""
        with self._lock:
            self.counters.hits += 1

    @contextmanager
    def pinned(self, key: Key, load: Callable[[], Value], deadline: float = math.inf) -> Iterator[Value]:
        """The value of `key`, as `get` gives it; it is not evicted while the context is open."""
        with self._lock:
            self._pins[key] += 1
        try:
            yield self.get(key, load, deadline)
        finally:
            with self._lock:
                self._pins[key] -= 1
                if not self._pins[key]:
                    del self._pins[key]
                self._shrink()

    def _start_loading(self, key: Key, load: Callable[[], Value]) -> Future[Value]:
        """Start loading; called with the lock held."""
        loaded: Future[Value] = Future()
        self._loading[key] = loaded
        try:
            load_once = partial(copy_context().run, self._load_once, key, load, loaded)  # the share's that asked first
            threading.Thread(target=load_once, name="saft-load", daemon=True).start()
        except RuntimeError:  # no more threads
            del self._loading[key]
            raise
        return loaded

    def _load_once(self, key: Key, load: Callable[[], Value], loaded: Future[Value]) -> None:
        try:
            value = load()
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            loaded.set_exception(error)
            return
        with self._lock:
            self.counters.loads += 1
            del self._loading[key]
            self._keep(key, value)
        loaded.set_result(value)

    def _keep(self, key: Key, value: Value) -> None:
        size = self._size_of(value)
        if size > self._capacity_bytes:
            return
        self._values[key] = value
        self.counters.bytes += size
        self._shrink()

    def _shrink(self) -> None:
        """Evict the least recently used values that nobody has pinned, until the rest fits."""
        if self.counters.bytes <= self._capacity_bytes:
            return
        for key in [key for key in self._values if key not in self._pins]:
            self.counters.bytes -= self._size_of(self._values.pop(key))
            self.counters.evictions += 1
            if self.counters.bytes <= self._capacity_bytes:
                return
