"""Sixty-four threads, fifty adapters that come and go, ten thousand requests."""

from __future__ import annotations

import gc
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saft_core.clip.backbone import Base
from saft_core.errors import NotFound
from saft_core.serving.adapters import StoredAdapter
from saft_core.serving.engine import Engine, EngineLimits
from tests.fixtures.models import pictures, random_delta

pytestmark = pytest.mark.gpu

THREADS, ADAPTERS, VERSIONS, IMAGES = 64, 50, 2, 4
WARM, MEASURED, WINDOWS = 2_000, 10_000, 5
CACHE_BYTES = 100_000
"""About a third of the adapters."""
MOST_GROWTH_BYTES = (32 << 20) // WINDOWS
"""A quarter of what the pixels of a window's requests take: one thing kept of each request shows in every window,
the allocator's steps to a new level only in some."""


class Shelf:
    """Adapters as a store has them: deleted ones are not found, and one that is uploaded anew has another id."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._replaced = 0
        self._there = {f"{place}-0": place for place in range(ADAPTERS)}
        self.ids = list(self._there)

    def load(self, adapter_id: str) -> StoredAdapter:
        """The adapter. Raises NotFound when it was deleted."""
        if adapter_id not in self._there:
            raise NotFound(adapter_id)
        return StoredAdapter(random_delta(self._base, seed_of(adapter_id)))

    def replace(self, place: int) -> None:
        """Upload another adapter for a place and delete the one that was there."""
        with self._lock:
            self._replaced += 1
            old, new = self.ids[place], f"{place}-{self._replaced}"
            self._there[new] = place
            self.ids[place] = new
            del self._there[old]


def seed_of(adapter_id: str) -> int:
    place, upload = map(int, adapter_id.split("-"))
    return place + ADAPTERS * (upload % VERSIONS)


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def answers_alone(base: Base, images: list[Image.Image]) -> dict[tuple[int, int], np.ndarray]:
    """What each delta says of each image, one request after another."""
    engine = Engine(base, lambda seed: StoredAdapter(random_delta(base, int(seed))), EngineLimits(threads=1))
    expected = {
        (seed, i): engine.embed_images(str(seed), [images[i]])
        for seed in range(ADAPTERS * VERSIONS)
        for i in range(IMAGES)
    }
    engine.close()
    return expected


def test_every_answer_is_that_of_its_adapter_alone_and_memory_is_flat(tiny_base: Base) -> None:
    before, images = tiny_base.flat.sha256(), pictures(IMAGES)
    expected = answers_alone(tiny_base, images)
    shelf = Shelf(tiny_base)
    engine = Engine(tiny_base, shelf.load, EngineLimits(cache_bytes=CACHE_BYTES, threads=1))
    gone = []

    def ask(number: int) -> None:
        if number % 10 == 0:
            shelf.replace(number // 10 % ADAPTERS)
        adapter_id, image = shelf.ids[number * 7 % ADAPTERS], number * 3 % IMAGES
        try:
            answer = engine.embed_images(adapter_id, [images[image]])
        except NotFound:
            assert adapter_id not in shelf.ids
            gone.append(adapter_id)
            return
        np.testing.assert_allclose(answer, expected[seed_of(adapter_id), image], atol=1e-5)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(ask, range(WARM)))
        levels = [resident_bytes()]
        for window in range(WINDOWS):
            first = window * MEASURED // WINDOWS
            list(pool.map(ask, range(first, first + MEASURED // WINDOWS)))
            levels.append(resident_bytes())
    counters = engine.counters()
    engine.close(5)
    assert tiny_base.flat.sha256() == before
    assert counters["delta_evictions"] > ADAPTERS
    assert counters["rows_mixed"] > MEASURED / 2
    assert counters["delta_bytes"] <= CACHE_BYTES
    assert len(gone) < MEASURED / 10
    growth = statistics.median(later - sooner for sooner, later in pairwise(levels))
    assert growth < MOST_GROWTH_BYTES, f"{growth / 2**20:.1f} MiB more in a window of {MEASURED // WINDOWS} requests"
