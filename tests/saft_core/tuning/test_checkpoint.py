from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from saft_core.calibration import UNCALIBRATED
from saft_core.data.probe_set import Probe
from saft_core.errors import Cancelled
from saft_core.training_options import Augment
from saft_core.tuning.adapt import adapt
from saft_core.tuning.checkpoint import TrainingState, training_key
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.progress import Progress, WorkMeter
from saft_core.tuning.strategies import select_for
from saft_core.tuning.training import Training
from saft_core.tuning.training_sets import TrainingSets
from tests.fixtures.models import TOWERS, make_base
from tests.fixtures.tasks import LABELS, LIMITS, colour_samples, config, loader, silent_meter

pytestmark = pytest.mark.gpu

SAMPLES = colour_samples(per_class=4)
PROBE = Probe(("noise", "nothing"), tuple(replace(one, label=one.label % 2) for one in colour_samples(6, seed=9)))
SETTINGS = config(epochs=4, batch_size=5, density=0.005)


class Memory:
    """Checkpoints kept here, one after each step."""

    def __init__(self, kept: bytes | None = None) -> None:
        self.kept = kept
        self.saved = 0

    def load(self) -> bytes | None:
        return self.kept

    def due(self) -> bool:
        return True

    def save(self, state: bytes) -> None:
        self.kept = state
        self.saved += 1


def dying_at(step: int) -> WorkMeter:
    def die(progress: Progress) -> None:
        if progress.step == step:
            raise Cancelled

    return WorkMeter(die)


@pytest.mark.parametrize("tower", sorted(TOWERS))
@pytest.mark.parametrize("patience_epochs", [0, 1])
@pytest.mark.parametrize("step", [1, 5, 11])
def test_going_on_gives_the_numbers_of_an_uninterrupted_training(tower: str, patience_epochs: int, step: int) -> None:
    base = make_base(tower)
    samples, validation = loader(base, SAMPLES), loader(base, colour_samples(2, seed=5))
    settings = replace(SETTINGS, patience_epochs=patience_epochs)
    chosen = select_for(base, samples, LABELS, settings, silent_meter())

    def training() -> Training:
        objective = ClassPromptLoss(base, samples, LABELS, settings)
        watched = partial(objective.mean_loss, validation) if patience_epochs else None
        return Training(objective, chosen, settings, validation=watched)

    whole = training().run(silent_meter())
    memory = Memory()
    with pytest.raises(Cancelled):
        training().run(dying_at(step), memory, "key")
    state = TrainingState.decode(memory.kept or b"", "key")
    if step == 1:
        assert state is None  # died before the first was saved
        return
    assert state is not None
    assert state.step == step - 1
    assert np.array_equal(state.indices.numpy(), chosen)
    heir = training()
    heir.resume(state)
    assert heir.run(silent_meter()).values.tobytes() == whole.values.tobytes()


def test_a_fine_tune_that_died_goes_on_without_selecting_again(monkeypatch: pytest.MonkeyPatch) -> None:
    task = TrainingSets(LABELS, SAMPLES, colour_samples(2, seed=1))
    whole = adapt(make_base("vit"), task, SETTINGS, LIMITS, lambda _: None)
    memory = Memory()
    with pytest.raises(Cancelled):
        adapt(make_base("vit"), task, SETTINGS, LIMITS, dying_at(7).observe, memory)
    assert memory.saved == 7  # after selection, and after steps 1 to 6

    def refuse(*_: object) -> None:
        raise AssertionError("selected again")

    monkeypatch.setattr("saft_core.tuning.adapt.select_for", refuse)
    seen: list[Progress] = []
    resumed = adapt(make_base("vit"), task, SETTINGS, LIMITS, seen.append, memory)
    assert resumed.delta.values.tobytes() == whole.delta.values.tobytes()
    assert resumed.delta.indices.tobytes() == whole.delta.indices.tobytes()
    assert [progress.progress for progress in seen] == sorted(progress.progress for progress in seen)
    assert seen[-1].progress == pytest.approx(1.0)


@pytest.mark.parametrize(("step", "augment"), [(3, "none"), (8, "none"), (9, "none"), (14, "none"), (14, "crop_flip")])
def test_a_fine_tune_that_died_in_either_training_ends_in_the_numbers_of_one_that_did_not(
    step: int, augment: Augment
) -> None:
    task, settings = TrainingSets(LABELS, SAMPLES), replace(SETTINGS, evaluate="refit", augment=augment)
    whole = adapt(make_base("vit"), task, settings, LIMITS, lambda _: None, probe=PROBE)
    memory = Memory()
    with pytest.raises(Cancelled):
        adapt(make_base("vit"), task, settings, LIMITS, dying_at(step).observe, memory, PROBE)
    seen: list[Progress] = []
    resumed = adapt(make_base("vit"), task, settings, LIMITS, seen.append, memory, PROBE)
    assert resumed.delta.values.tobytes() == whole.delta.values.tobytes()
    assert resumed.delta.indices.tobytes() == whole.delta.indices.tobytes()
    assert resumed.strength == whole.strength
    assert resumed.calibration == whole.calibration != UNCALIBRATED
    assert resumed.metrics | {"seconds": 0} == whole.metrics | {"seconds": 0}
    assert seen[-1].step == 20
    assert seen[-1].progress == pytest.approx(1.0)
    assert min(progress.step for progress in seen if progress.loss is not None) == step
    assert [progress.progress for progress in seen] == sorted(progress.progress for progress in seen)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: b"",
        lambda state: state[:40],
        lambda state: state[:-3],
        lambda state: b"\xff" * len(state),
    ],
)
def test_a_damaged_state_is_none(spoil: object) -> None:
    assert TrainingState.decode(spoil(some_state()), "key") is None  # type: ignore[operator]


def test_a_state_of_another_training_is_none() -> None:
    assert TrainingState.decode(some_state(), "key") is not None
    assert TrainingState.decode(some_state(), "another") is None


def test_the_key_follows_from_all_that_decides_the_numbers() -> None:
    base = make_base("vit")
    keys = {
        training_key(base, LABELS, SAMPLES, SETTINGS),
        training_key(make_base("vit", seed=1), LABELS, SAMPLES, SETTINGS),
        training_key(base, LABELS[::-1], SAMPLES, SETTINGS),
        training_key(base, LABELS, SAMPLES[1:], SETTINGS),
        training_key(base, LABELS, SAMPLES, replace(SETTINGS, seed=1)),
        training_key(base, LABELS, SAMPLES, replace(SETTINGS, template=("a photo of a {}.", "the {}"))),
    }
    assert len(keys) == 6
    assert training_key(make_base("vit"), LABELS, colour_samples(4, seed=0), SETTINGS) in keys


def some_state() -> bytes:
    base = make_base("vit")
    objective = ClassPromptLoss(base, loader(base, SAMPLES), LABELS, SETTINGS)
    return Training(objective, np.arange(0, 100, 7), SETTINGS).state().encode("key")
