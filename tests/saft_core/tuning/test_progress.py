from __future__ import annotations

from collections.abc import Callable

import pytest

from saft_core.tuning.costs import IMAGES
from saft_core.tuning.plan import PlanTracker
from saft_core.tuning.progress import Progress, WorkMeter
from tests.fixtures.machine import PLAN, Machine, before, whole


def test_the_time_left_is_within_a_third_from_a_tenth_on_and_progress_is_the_share_of_time() -> None:
    machine = whole(Machine())
    assert machine.worst(after=0.1) < 4 / 3
    assert machine.shares == sorted(machine.shares)
    assert max(abs(progress.progress - moment / machine.now) for moment, progress in machine.seen[6:]) < 0.1
    (_, last) = machine.seen[-1]
    assert (last.progress, last.eta_seconds, last.step, last.steps) == (1.0, 0.0, 180, 180)
    assert max(machine.shares[:-1]) < 1


@pytest.mark.parametrize(
    "slow",
    [
        lambda piece: 6.0 if piece % 12 == 0 else 1.0,  # something else has the cores at times
        lambda piece: 20.0 if piece == 12 else 1.0,  # the first step loads what is needed once
    ],
)
def test_pauses_are_not_taken_for_the_rule(slow: Callable[[int], float]) -> None:
    machine = whole(Machine(slow=slow))
    assert machine.shares == sorted(machine.shares)
    assert machine.shares[-1] == 1.0
    assert machine.worst(after=0.75) < 4 / 3
    unmoved = whole(Machine())
    loss_of_a_pause = [eta(one) - eta(other) for one, other in zip(machine.seen[100:], unmoved.seen[100:], strict=True)]
    assert max(loss_of_a_pause) < 0.1 * unmoved.now


def eta(seen: tuple[float, Progress]) -> float:
    assert seen[1].eta_seconds is not None
    return seen[1].eta_seconds


def test_nothing_is_said_of_the_time_left_before_anything_was_measured() -> None:
    machine = Machine().do(before())
    known = [progress.eta_seconds is not None for _, progress in machine.seen]
    assert known == [False, *[True] * (len(known) - 1)]  # images, and then prompts
    assert machine.seen[0][1].progress == 0


def test_phases_steps_and_seconds_are_told() -> None:
    machine = whole(Machine())
    phases = [progress.phase for _, progress in machine.seen]
    assert list(dict.fromkeys(phases)) == ["evaluating", "selecting", "training", "refitting"]
    told = [progress.step for _, progress in machine.seen]
    assert told == sorted(told)
    seconds = machine.seen[-1][1].seconds
    assert set(seconds) == {"preparation", "evaluation", "selection", "training"}
    assert sum(seconds.values()) == pytest.approx(machine.now, abs=0.01)


def test_earlier_attempts_count_in_the_seconds() -> None:
    clock, seen = [7.0], list[Progress]()
    meter = WorkMeter(seen.append, spent={"training": 5.0}, started=4.0, clock=lambda: clock[0])
    PlanTracker(PLAN, meter)
    clock[0] = 9.0
    meter.advance(IMAGES, 32)
    assert seen[0].seconds == {"training": 5.0, "preparation": 3.0, "evaluation": 2.0}
