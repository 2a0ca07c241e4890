from __future__ import annotations

import pytest

from saft_core.data.samples import Sample
from saft_core.training_options import Evaluate
from saft_core.tuning.training_sets import Splits
from tests.fixtures.tasks import LIMITS, colour_samples, config


def names(samples: list[Sample]) -> set[str]:
    return {sample.content() for sample in samples}


@pytest.mark.parametrize(("evaluate", "held_out"), [("refit", 2), ("holdout", 2), ("none", 0)])
def test_a_fifth_of_each_class_is_held_out_unless_nothing_is(evaluate: Evaluate, held_out: int) -> None:
    splits = Splits(colour_samples(10), config(evaluate=evaluate), LIMITS)
    labels = [sample.label for sample in splits.held_out]
    assert all(labels.count(label) == held_out for label in {sample.label for sample in splits.shots})
    assert names(splits.held_out) | names(splits.not_held_out) == names(splits.shots)
    assert not names(splits.held_out) & names(splits.not_held_out)
    assert splits.refits is (evaluate == "refit")


def test_the_order_of_the_images_does_not_change_what_is_held_out() -> None:
    samples = colour_samples(10)
    one, other = (Splits(given, config(evaluate="refit"), LIMITS) for given in (samples, samples[::-1]))
    assert names(one.held_out) == names(other.held_out)


def test_early_stopping_validates_on_a_part_of_each_training_and_nothing_does_without_it() -> None:
    with_patience = Splits(colour_samples(10), config(evaluate="none", patience_epochs=2), LIMITS)
    trained, validation = with_patience.with_validation(with_patience.shots)
    assert (len(trained), len(validation)) == (24, 6)
    assert not names(trained) & names(validation)
    without = Splits(colour_samples(10), config(evaluate="none"), LIMITS)
    assert without.with_validation(without.shots) == (without.shots, [])


def test_shots_are_drawn_by_the_seed() -> None:
    first, again, other = (Splits(colour_samples(10), config(shots=2, seed=seed), LIMITS).shots for seed in (1, 1, 2))
    assert len(first) == 6
    assert names(first) == names(again) != names(other)
