"""Makes a long run resumable: what a stage has made is kept, and a training is kept every so many steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

T = TypeVar("T")

KEEP_EVERY = 100
"""Steps of a training between two checkpoints."""


def kept(path: Path, make: Callable[[], T]) -> T:
    """What `make` gives: tensors, numbers, strings, and lists and dictionaries of such. Made once, then read."""
    if not path.exists():
        save(path, make())
    return torch.load(path, weights_only=True)  # type: ignore[no-any-return]


def save(path: Path, state: Any) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


class Checkpoint:
    """The state of one training in a file: its step, and the state dictionaries of its parts."""

    def __init__(self, path: Path, **parts: Any) -> None:
        self._path = path
        self._parts = parts

    def resume(self) -> int:
        """Load the parts where there is something to load; returns the step to go on with."""
        if not self._path.exists():
            return 0
        stored = torch.load(self._path, weights_only=True)
        for name, part in self._parts.items():
            part.load_state_dict(stored[name])
        return int(stored["step"])

    def after(self, step: int) -> None:
        """Keep the parts when their turn has come; `step` counts from 0 and is done."""
        if (step + 1) % KEEP_EVERY == 0:
            save(self._path, {"step": step + 1} | {name: part.state_dict() for name, part in self._parts.items()})
