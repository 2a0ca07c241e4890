from __future__ import annotations

import pytest

from saft_core.tuning.costs import GRADIENT, IMAGES, PROMPTS, RANKING, BackwardPasses, Costs, Work, step_work
from tests.fixtures.tasks import config

STEP = Work("step", 32)


def measured(encoders: str = "both", backward_passes: BackwardPasses = "one", **settings: object) -> Costs:
    """A machine that encodes an image in 1 s and a prompt in 0.1 s."""
    costs = Costs(
        config(encoders=encoders, **settings),
        prompts=10,
        trains_images=encoders != "text",
        backward_passes=backward_passes,
    )
    costs.note(IMAGES, 32, 32.0)
    costs.note(PROMPTS, 10, 1.0)
    return costs


def test_of_what_nothing_tells_nothing_is_known() -> None:
    costs = Costs(config(), prompts=10, trains_images=True, backward_passes="one")
    assert costs.of(STEP) is None
    costs.note(IMAGES, 32, 32.0)
    assert costs.of(IMAGES) == 1
    assert costs.of(STEP) is None


@pytest.mark.parametrize(("encoders", "images"), [("both", 64), ("text", 0), ("image", 64)])
def test_a_step_is_guessed_from_its_forwards(encoders: str, images: int) -> None:
    texts = 0 if encoders == "image" else 2
    assert measured(encoders).of(STEP) == images + texts
    assert measured(encoders).of(Work("first step", 32)) == (images or 32) + texts
    assert measured(encoders).of(RANKING) == texts


def test_augmented_images_are_encoded_at_every_step() -> None:
    assert measured("text", augment="crop").of(STEP) == 32 + 2


def test_a_selection_without_gradients_costs_nothing() -> None:
    costs = measured(backward_passes="none")
    assert (costs.of(GRADIENT), costs.of(RANKING)) == (0, 0)


def test_a_selection_by_each_samples_own_gradient_passes_the_prompts_for_each() -> None:
    assert measured(backward_passes="one").of(GRADIENT) == 2
    assert measured(backward_passes="one per sample").of(GRADIENT) == 2 + 2


def test_the_median_counts_and_one_alone_is_weighed_with_the_guess() -> None:
    costs = measured()
    costs.note(STEP, 1, 900.0)
    assert costs.of(STEP) == 66
    for seconds in (70.0, 71.0, 72.0):
        costs.note(STEP, 1, seconds)
    assert costs.of(STEP) == 71


def test_a_smaller_batch_is_told_by_a_larger_one() -> None:
    costs = measured()
    for _ in range(3):
        costs.note(STEP, 1, 132.0)  # twice the guess
    assert costs.of(Work("step", 8, ends_epoch=True)) == pytest.approx(2 * (16 + 2))


def test_the_steps_of_an_epoch_and_what_ends_it() -> None:
    settings = config(batch_size=5)
    kinds = [step_work(step, 12, settings) for step in range(6)]
    assert [(work.kind, work.images, work.ends_epoch) for work in kinds] == [
        ("first step", 5, False), ("first step", 5, False), ("first step", 2, True),
        ("step", 5, False), ("step", 5, False), ("step", 2, True),
    ]  # fmt: skip
    resumed = [step_work(step, 12, settings, first=2).kind for step in range(2, 6)]
    assert resumed == ["first step"] * 3 + ["step"]
