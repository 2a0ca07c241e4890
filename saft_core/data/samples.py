"""Labelled samples, as a training loop takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image whose bytes are fetched when they are asked for.

    `label` is the index of the class in the sorted class names, `path` names the sample in messages, and `read`
    returns the image file's bytes; it may be called any number of times. `sha256` is theirs in hex, if known, and
    `position` the image's place in its dataset.
    """

    label: int
    path: str
    read: Callable[[], bytes]
    sha256: str | None = None
    position: int | None = None

    def content(self) -> str:
        """SHA-256 of the image file's bytes, in hex: equal for copies of one image."""
        return self.sha256 or hashlib.sha256(self.read()).hexdigest()
