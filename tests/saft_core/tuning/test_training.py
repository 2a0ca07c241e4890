from __future__ import annotations

import numpy as np
import pytest
import torch

from saft_core.clip.zero_shot import fill
from saft_core.errors import Cancelled, TrainingDiverged
from saft_core.tuning.progress import Progress, WorkMeter
from saft_core.tuning.selection import select_for
from saft_core.tuning.training import _batches, steps_per_epoch, train
from tests.fixtures.models import TOWERS, bits, make_base
from tests.fixtures.tasks import LABELS, colour_samples, config, loader, silent_meter
from tests.saft_core.tuning.oracle import paper_training

SAMPLES = colour_samples(per_class=4)


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_training_gives_the_papers_numbers(tower: str) -> None:
    base = make_base(tower, dtype=torch.float64)
    samples = loader(base, SAMPLES)
    settings = config(epochs=7, batch_size=4, learning_rate=1e-3)  # 21 steps
    chosen = select_for(base, samples, LABELS, settings, silent_meter())
    mask = torch.zeros(base.parameter_count, dtype=torch.bool)
    mask[torch.from_numpy(chosen)] = True
    before = base.flat.buffer.clone()
    expected = paper_training(
        base, samples, fill(settings.template, LABELS), mask, _batches(len(samples), settings),
        steps=21, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay,
    )  # fmt: skip
    ours = train(base, samples, LABELS, chosen, settings, silent_meter())
    assert bits(expected[~mask]) == bits(before[~mask])
    difference = (expected - before)[mask].float().numpy()
    assert np.abs(difference).min() > 0
    np.testing.assert_allclose(ours.values, difference, rtol=1e-6)


def test_only_selected_entries_move_and_the_base_comes_back() -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    chosen = select_for(base, samples, LABELS, config(), silent_meter())
    others = np.setdiff1d(np.arange(base.parameter_count), chosen)
    before, others_before = base.flat.sha256(), bits(base.flat.buffer[others])
    moved: list[bool] = []

    def look(_: Progress) -> None:
        assert bits(base.flat.buffer[others]) == others_before
        moved.append(base.flat.sha256() != before)

    train(base, samples, LABELS, chosen, config(), WorkMeter(total=1, steps=1, observe=look))
    assert moved
    assert all(moved)
    assert base.flat.sha256() == before


def test_batch_norm_statistics_do_not_move() -> None:
    base = make_base("resnet")
    before = base.fingerprint
    statistics = bits(list(base.model.buffers()))
    chosen = select_for(base, loader(base, SAMPLES), LABELS, config(), silent_meter())
    train(base, loader(base, SAMPLES), LABELS, chosen, config(), silent_meter())
    assert bits(list(base.model.buffers())) == statistics
    del base.fingerprint
    assert base.fingerprint == before


def test_the_loss_falls() -> None:
    base = make_base("vit")
    losses: list[float] = []
    meter = WorkMeter(total=1, steps=1, observe=lambda progress: losses.append(progress.loss or 0.0))
    settings = config(density=0.01, epochs=20, batch_size=12, learning_rate=3e-3)
    chosen = select_for(base, loader(base, SAMPLES), LABELS, settings, silent_meter())
    train(base, loader(base, SAMPLES), LABELS, chosen, settings, meter)
    assert losses[-1] < 0.5 * losses[0]


def test_the_seed_decides_the_delta() -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    chosen = select_for(base, samples, LABELS, config(), silent_meter())
    first, again, other = (
        train(base, samples, LABELS, chosen, config(seed=seed), silent_meter()).values.tobytes() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_every_sample_is_used_once_an_epoch() -> None:
    settings = config(epochs=3, batch_size=5)
    batches = list(_batches(12, settings))
    assert len(batches) == 3 * steps_per_epoch(12, 5) == 9
    for epoch in range(3):
        seen = [position for batch in batches[3 * epoch : 3 * epoch + 3] for position in batch]
        assert sorted(seen) == list(range(12))


def test_weight_decay_acts_on_the_selected_entries() -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    chosen = select_for(base, samples, LABELS, config(), silent_meter())
    plain = train(base, samples, LABELS, chosen, config(weight_decay=0.0), silent_meter())
    decayed = train(base, samples, LABELS, chosen, config(weight_decay=5.0), silent_meter())
    assert not np.array_equal(plain.values, decayed.values)


def test_divergence_is_an_error_and_the_base_comes_back() -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    before = base.flat.sha256()
    chosen = select_for(base, samples, LABELS, config(), silent_meter())
    with pytest.raises(TrainingDiverged):
        train(base, samples, LABELS, chosen, config(learning_rate=1e30, epochs=20), silent_meter())
    assert base.flat.sha256() == before


def test_cancelling_in_mid_training_brings_the_base_back() -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    before = base.flat.sha256()
    chosen = select_for(base, samples, LABELS, config(), silent_meter())

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(base, samples, LABELS, chosen, config(), WorkMeter(total=1, steps=1, observe=stop))
    assert base.flat.sha256() == before
    assert all(parameter.grad is None and parameter.requires_grad for parameter in base.model.parameters())
