"""Decodes several images at once, in threads: Pillow releases the GIL while it decodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from saft_core.process import available_cpus

MAX_THREADS = 4
"""Each decoded image may take as much memory as the limits allow."""
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def in_threads(work: Callable[[_Given], _Made], given: Sequence[_Given]) -> list[_Made]:
    """`work` applied to each of `given`, in order, by at most MAX_THREADS threads. Raises what `work` raises.

    Torch uses one thread within each, or they would take the cores from one another.
    """
    threads = min(MAX_THREADS, available_cpus(), len(given))
    if threads < 2:
        return [work(one) for one in given]
    with ThreadPoolExecutor(threads, "saft-decode", lambda: torch.set_num_threads(1)) as pool:
        return list(pool.map(work, given))
