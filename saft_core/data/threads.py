"""Image files decoded side by side: Pillow lets go of the interpreter while it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from saft_core.process import available_cpus

MOST = 4
"""Each decoded image may take as much memory as the limits allow."""
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def in_threads(work: Callable[[_Given], _Made], given: Sequence[_Given]) -> list[_Made]:
    """What `work` makes of each, in order. Raises what it raises for the first that fails.

    Torch uses one thread within each, or they would take the cores from one another.
    """
    threads = min(MOST, available_cpus(), len(given))
    if threads < 2:
        return [work(one) for one in given]
    with ThreadPoolExecutor(threads, "saft-decode", lambda: torch.set_num_threads(1)) as pool:
        return list(pool.map(work, given))
