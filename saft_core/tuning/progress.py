"""How far a fine-tune is, counted in work done rather than in steps, so that the bar moves evenly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["selecting", "training", "evaluating", "refitting"]


@dataclass(frozen=True)
class Progress:
    """One moment of a fine-tune. `progress` is 0 to 1 over all phases; `loss` is that of the last training step."""

    phase: Phase
    progress: float
    step: int
    steps: int
    loss: float | None
    eta_seconds: float | None


Observer = Callable[[Progress], None]
"""Called after each piece of work. It may raise, for instance Cancelled: the fine-tune then ends, the base restored."""


@dataclass
class WorkMeter:
    """Counts work in image passes (a forward and backward is one) and tells the observer.

    total: all the passes that the whole fine-tune will make.
    steps: all its optimizer steps.
    """

    total: float
    steps: int
    observe: Observer
    _done: float = 0.0
    _step: int = 0
    _loss: float | None = None
    _earlier_steps: int = 0
    _refitting: bool = False
    _started: float = field(default_factory=time.monotonic)

    def advance(self, phase: Phase, passes: float, *, step: int | None = None, loss: float | None = None) -> None:
        """Add `passes` of work done in `phase`."""
        self._done += passes
        self._step = self._step if step is None else self._earlier_steps + step
        self._loss = self._loss if loss is None else loss
        share = min(1.0, self._done / self.total) if self.total else 1.0
        elapsed = time.monotonic() - self._started
        eta = elapsed * (1 - share) / share if share else None
        if self._refitting and phase in ("selecting", "training"):
            phase = "refitting"
        self.observe(Progress(phase, share, self._step, self.steps, self._loss, eta))

    def refit(self) -> None:
        """From here on it is the second training: its steps go on from those of the first."""
        self._refitting, self._earlier_steps = True, self._step


class PhaseClock:
    """Seconds spent in each phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What is done within belongs to the phase `name`."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
