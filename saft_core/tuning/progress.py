"""The progress of a fine-tune and the time it still takes; progress is the share of the estimated time."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from saft_core.tuning.costs import Amounts, Costs, Kind, Work, total

Phase = Literal["selecting", "training", "evaluating", "refitting"]
TimedPhase = Literal["preparation", "selection", "training", "evaluation"]

PHASE_OF: Mapping[Kind, tuple[Phase, TimedPhase]] = {
    "images": ("evaluating", "evaluation"),
    "prompts": ("evaluating", "evaluation"),
    "gradient": ("selecting", "selection"),
    "ranking": ("selecting", "selection"),
    "first step": ("training", "training"),
    "step": ("training", "training"),
}


@dataclass(frozen=True)
class Progress:
    """One moment of a fine-tune.

    progress: 0 to 1 over all phases, the elapsed share of the whole time; it never falls.
    step, steps: of both trainings, where there are two. loss: of the last step.
    eta_seconds: the time left; None as long as it cannot be estimated.
    seconds: the time spent so far, by phase, earlier attempts included.
    metrics: the metrics of the base, once they are measured; None before.
    """

    phase: Phase
    progress: float
    step: int
    steps: int
    loss: float | None
    eta_seconds: float | None
    seconds: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Any] | None = None


Observer = Callable[[Progress], None]
"""Called after each piece of work. It may raise, for instance Cancelled: the fine-tune then ends, the base restored."""


class WorkMeter:
    """Counts the work done, measures its cost, and reports progress to the observer.

    spent: seconds by phase of earlier attempts. started: when this attempt began, on `clock`; None means now.
    """

    def __init__(
        self,
        observe: Observer,
        *,
        spent: Mapping[str, float] | None = None,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.observe, self._clock = observe, clock
        self._costs: Costs | None = None
        self._left: defaultdict[Work, float] = defaultdict(float)
        self._skipped: dict[Work, float] = {}
        self._started = self._lap = clock() if started is None else started
        self._spent: dict[str, float] = dict(spent or {})
        self.metrics: Mapping[str, Any] | None = None
        self.earlier_steps = 0
        self._step, self._steps = 0, 0
        self._loss: float | None = None
        self._refitting = False
        self._share = 0.0

    def begin(self, plan: Amounts, costs: Costs, steps: int) -> None:
        """Set the planned work, its costs, and the number of optimizer steps. The time so far counts as preparation.

        Without this call the time left is unknown.
        """
        self._spend("preparation")
        self.replan({}, plan)
        self._costs, self._steps = costs, steps

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds spent so far, by phase, earlier attempts included."""
        return {name: round(value, 3) for name, value in self._spent.items()}

    def advance(self, work: Work, amount: float = 1, *, step: int | None = None, loss: float | None = None) -> None:
        """Record that `amount` of `work` was done since the previous call, and report progress to the observer."""
        phase, name = PHASE_OF[work.kind]
        seconds = self._spend(name)
        if self._costs is not None:
            self._costs.note(work, amount, seconds)
        self._left[work] -= amount
        self._step = self._step if step is None else self.earlier_steps + step
        self._loss = self._loss if loss is None else loss
        if self._refitting and phase in ("selecting", "training"):
            phase = "refitting"
        eta = self._eta()
        self._share = max(self._share, self._share_by(eta))
        known = (self._step, self._steps, self._loss, eta, self.seconds, self.metrics)
        self.observe(Progress(phase, self._share, *known))

    def skip(self, works: Amounts, *, step: int = 0) -> None:
        """Count `works` as done by an earlier attempt, up to optimizer step `step` of the training."""
        self.replan(works, {})
        self._skipped = total((self._skipped, works))
        self._step = self.earlier_steps + step

    def replan(self, instead_of: Amounts, works: Amounts) -> None:
        """Replace the planned work `instead_of` by `works`."""
        for work, amount in instead_of.items():
            self._left[work] -= amount
        for work, amount in works.items():
            self._left[work] += amount

    def refit(self, steps: int) -> None:
        """Begin the second training, of so many steps, which are counted on from those of the first."""
        self._refitting, self.earlier_steps = True, self._step
        self._steps = self._step + steps

    def _spend(self, name: TimedPhase) -> float:
        """Seconds since the previous call, which are added to a phase."""
        now = self._clock()
        seconds, self._lap = now - self._lap, now
        self._spent[name] = self._spent.get(name, 0.0) + seconds
        return seconds

    def _eta(self) -> float | None:
        return self._cost_of({work: amount for work, amount in self._left.items() if amount > 0})

    def _share_by(self, eta: float | None) -> float:
        if eta is None:
            return 0.0
        done = self._lap - self._started + (self._cost_of(self._skipped) or 0.0)
        return done / (done + eta) if eta else 1.0

    def _cost_of(self, works: Amounts) -> float | None:
        """Seconds for all of `works`; None if the cost of one of them is unknown."""
        seconds = 0.0
        for work, amount in works.items():
            cost = self._costs.of(work) if self._costs is not None else None
            if cost is None:
                return None
            seconds += amount * cost
        return seconds
