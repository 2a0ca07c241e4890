"""Labelled samples, as a training loop takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image whose bytes are fetched when they are asked for.

    `label` is the index of the class in the sorted class names, `path` names the sample in messages, and `read`
    returns the image file's bytes; it may be called any number of times.
    """

    label: int
    path: str
    read: Callable[[], bytes]
