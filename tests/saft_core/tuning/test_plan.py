from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from saft_core.tuning.costs import IMAGES
from saft_core.tuning.strength import STRENGTHS
from tests.fixtures.machine import PLAN, SETTINGS, Machine, after, before, between, selection, steps


def test_a_training_that_stops_early_leaves_the_rest_of_its_steps_out() -> None:
    machine = Machine()
    machine.do(before()).do(selection(128)).do(steps(128, until=40))
    machine.tracker.ended(128, 40, first=0)
    machine.do(between()).tracker.refits()
    machine.do(selection(160)).do(steps(160)).do(after())
    assert machine.shares == sorted(machine.shares)
    assert machine.shares[-1] == 1.0
    assert machine.seen[-1][1].steps == machine.seen[-1][1].step == 140


def test_images_that_a_delta_changes_are_planned_to_be_encoded_anew() -> None:
    plan = replace(PLAN, config=replace(SETTINGS, encoders="both"))
    expected, found = (plan.all_work(trains_images=anew)[IMAGES] for anew in (True, False))
    assert expected - found == (len(STRENGTHS) + 1) * 32 + 2 * 78
    machine = Machine(plan).do(before())
    machine.tracker.selected(trains_images=False)  # although both encoders could have been
    machine.do(selection(128)).do(steps(128)).do(between()).tracker.refits()
    machine.do(selection(160)).do(steps(160)).do(after())
    assert machine.shares[-1] == 1.0


@pytest.mark.parametrize("step", [0, 5, 79])
def test_what_an_earlier_attempt_did_of_the_first_training_counts_as_done(step: int) -> None:
    machine = Machine().do(before())
    assert machine.shares[-1] < 0.2
    machine.tracker.resumed(128, step)
    machine.do(steps(128, after=step)).do(between()).tracker.refits()
    machine.do(selection(160)).do(steps(160)).do(after())
    assert machine.shares == sorted(machine.shares)
    assert machine.shares[-1] == 1.0
    assert machine.worst(after=0.2) < 4 / 3
    assert machine.seen[len(list(before()))][1].step == step + 1


@pytest.mark.parametrize("step", [0, 42, 99])
def test_what_an_earlier_attempt_did_of_the_second_training_counts_as_done(step: int) -> None:
    machine = Machine()
    machine.do(itertools.islice(before(), 2, None)).tracker.skipped_first(None)  # those of the held-out images
    machine.tracker.refits()
    machine.tracker.resumed(160, step)
    machine.do(steps(160, after=step)).do(after())
    assert machine.shares == sorted(machine.shares)
    assert machine.shares[-1] == 1.0
    first_step = next(progress for _, progress in machine.seen if progress.loss is not None)
    assert first_step.step == 80 + step + 1
    assert first_step.progress > 0.4
