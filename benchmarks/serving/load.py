"""Load: callers that ask again as soon as they are answered, and whom they ask for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from benchmarks.measure import Row

ZIPF_EXPONENT = 1.0
Item = TypeVar("Item")


@dataclass(frozen=True)
class Window:
    """What a stretch of load gave: seconds from first to last, and each request's own seconds."""

    seconds: float
    latencies: Sequence[float]


def closed_loop(call: Callable[[Item], object], items: Iterable[Item], concurrency: int) -> Window:
    """`call` each item, `concurrency` of them at a time, each by a thread that takes the next one when answered."""

    def timed(item: Item) -> float:
        started = time.perf_counter()
        call(item)
        return time.perf_counter() - started

    with ThreadPoolExecutor(concurrency, "caller") as callers:
        started = time.perf_counter()
        latencies = list(callers.map(timed, items))
        return Window(time.perf_counter() - started, latencies)


def figures(windows: Sequence[Window]) -> Row:
    """The medians over windows of requests a second and of the 50th and 95th percentile, in ms."""

    def percentile(share: float) -> float:
        return statistics.median(float(np.percentile(window.latencies, share)) * 1000 for window in windows)

    rates = [len(window.latencies) / window.seconds for window in windows]
    return {
        "images_per_second": round(statistics.median(rates), 3),
        "p50_ms": round(percentile(50), 2),
        "p95_ms": round(percentile(95), 2),
        "repeats": [round(rate, 3) for rate in rates],
    }


def zipf(population: int, count: int, seed: int) -> list[int]:
    """`count` draws from 0 to `population` - 1, the n-th of them drawn in proportion to 1 / (n + 1)."""
    weights = 1 / np.arange(1, population + 1) ** ZIPF_EXPONENT
    drawn: list[int] = np.random.default_rng(seed).choice(population, count, p=weights / weights.sum()).tolist()
    return drawn
