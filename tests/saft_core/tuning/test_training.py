from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from saft_core.clip.zero_shot import fill
from saft_core.errors import Cancelled, TrainingDiverged
from saft_core.templates import Template, each
from saft_core.training_options import Encoders
from saft_core.tuning import loss
from saft_core.tuning.costs import steps_per_epoch
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.progress import Progress, WorkMeter
from saft_core.tuning.strategies import select_for
from saft_core.tuning.training import Training, batches, train_for
from tests.fixtures.models import TOWERS, bits, make_base
from tests.fixtures.tasks import LABELS, colour_samples, config, loader, silent_meter
from tests.saft_core.tuning.oracle import paper_mask, paper_mean_gradient, paper_training

pytestmark = pytest.mark.gpu

SAMPLES = colour_samples(per_class=4)


@pytest.mark.parametrize("tower", sorted(TOWERS))
@pytest.mark.parametrize(
    ("density", "template"),
    [(0.002, "a photo of a {}."), (0.01, "a photo of a {}."), (0.01, ("a {}.", "the {}", "{}"))],
)
def test_twenty_steps_give_the_papers_numbers(tower: str, density: float, template: Template) -> None:
    base = make_base(tower, dtype=torch.float64)
    samples = loader(base, SAMPLES)
    settings = config(epochs=5, batch_size=3, learning_rate=1e-3, density=density, template=template)  # 20 steps
    chosen = select_for(base, samples, LABELS, settings, silent_meter())
    prompts = [fill(one, LABELS) for one in each(template)]
    mask = paper_mask(paper_mean_gradient(base, samples, prompts), density)
    assert np.array_equal(chosen, mask.nonzero().reshape(-1).cpu().numpy())
    before = base.flat.buffer.clone()
    expected = paper_training(
        base, samples, prompts, mask, batches(len(samples), settings),
        steps=20, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay,
    )  # fmt: skip
    steps: list[Tensor] = []
    meter = WorkMeter(lambda _: steps.append(base.flat.buffer.clone()))
    train_for(base, samples, LABELS, chosen, settings, meter)
    assert len(steps) == 20
    assert (expected[mask] != before[mask]).all()
    # AdamW divides by the size of a gradient: one near zero carries its rounding up, to 2e-9 on some processors.
    torch.testing.assert_close(steps[-1][mask], expected[mask], rtol=1e-8, atol=0)
    assert bits(steps[-1][~mask]) == bits(before[~mask])
    assert bits(base.flat.buffer) == bits(before)


@pytest.mark.parametrize(
    ("tower", "dtype", "nearest"),
    [("vit", torch.float32, 0.9999), ("resnet", torch.float32, 0.99), ("vit", torch.bfloat16, 0.99)],
)
def test_twenty_steps_in_the_numbers_of_a_gpu_come_near_the_papers(
    tower: str, dtype: torch.dtype, nearest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passes(device: torch.device) -> AbstractContextManager[object]:
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16)

    monkeypatch.setattr(loss, "passes", passes)
    base = make_base(tower)
    samples, settings = loader(base, SAMPLES), config(epochs=5, batch_size=3, learning_rate=1e-3, density=0.01)
    prompts = [fill(settings.template, LABELS)]
    chosen = select_for(base, samples, LABELS, settings, silent_meter())
    mask = torch.zeros(base.parameter_count, dtype=torch.bool, device=base.device)
    mask[chosen] = True
    before = base.flat.buffer.clone()
    expected = paper_training(
        base, samples, prompts, mask, batches(len(samples), settings),
        steps=20, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay,
    )  # fmt: skip
    delta = train_for(base, samples, LABELS, chosen, settings, silent_meter())
    moved, wanted = torch.from_numpy(delta.values), (expected - before)[mask].cpu()
    assert torch.nn.functional.cosine_similarity(moved, wanted, dim=0) > nearest
    assert bits(base.flat.buffer) == bits(before)


@pytest.mark.parametrize("template", ["a photo of a {}.", ("a {}.", "the {}", "{}")])
def test_of_uneven_classes_each_counts_the_same(template: Template) -> None:
    base = make_base("vit", dtype=torch.float64)
    uneven = [one for place, one in enumerate(SAMPLES) if place not in (5, 6, 7)]  # 4 red, 1 green, 4 blue
    samples, settings = loader(base, uneven), config(epochs=4, batch_size=4, learning_rate=1e-3, template=template)
    prompts, shares = [fill(one, LABELS) for one in each(settings.template)], [4 / 9, 1 / 9, 4 / 9]
    chosen = select_for(base, samples, LABELS, settings, silent_meter())
    mask = paper_mask(paper_mean_gradient(base, samples, prompts, shares), settings.density)
    assert np.array_equal(chosen, mask.nonzero().reshape(-1).cpu().numpy())
    assert not mask.equal(paper_mask(paper_mean_gradient(base, samples, prompts), settings.density))
    before = base.flat.buffer.clone()
    expected = paper_training(
        base, samples, prompts, mask, batches(9, settings),
        steps=12, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay, shares=shares,
    )  # fmt: skip
    delta = train_for(base, samples, LABELS, chosen, settings, silent_meter())
    moved = torch.from_numpy(delta.values).double().to(mask.device)
    torch.testing.assert_close(moved, (expected - before)[mask], rtol=1e-4, atol=1e-9)


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

    train_for(base, samples, LABELS, chosen, config(), WorkMeter(look))
    assert moved
    assert all(moved)
    assert base.flat.sha256() == before


def test_batch_norm_statistics_do_not_move() -> None:
    base = make_base("resnet")
    before = base.fingerprint
    statistics = bits(list(base.model.buffers()))
    chosen = select_for(base, loader(base, SAMPLES), LABELS, config(), silent_meter())
    train_for(base, loader(base, SAMPLES), LABELS, chosen, config(), silent_meter())
    assert bits(list(base.model.buffers())) == statistics
    del base.fingerprint
    assert base.fingerprint == before


def test_the_loss_falls() -> None:
    base = make_base("vit")
    losses: list[float] = []
    meter = WorkMeter(lambda progress: losses.append(progress.loss or 0.0))
    settings = config(density=0.01, epochs=20, batch_size=12, learning_rate=3e-3)
    chosen = select_for(base, loader(base, SAMPLES), LABELS, settings, silent_meter())
    train_for(base, loader(base, SAMPLES), LABELS, chosen, settings, meter)
    assert losses[-1] < 0.5 * losses[0]


def test_the_seed_decides_the_delta() -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    chosen = select_for(base, samples, LABELS, config(), silent_meter())
    first, again, other = (
        train_for(base, samples, LABELS, chosen, config(seed=seed), silent_meter()).values.tobytes()
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_every_sample_is_used_once_an_epoch() -> None:
    settings = config(epochs=3, batch_size=5)
    drawn = list(batches(12, settings))
    assert len(drawn) == 3 * steps_per_epoch(12, 5) == 9
    for epoch in range(3):
        seen = [position for batch in drawn[3 * epoch : 3 * epoch + 3] for position in batch]
        assert sorted(seen) == list(range(12))


def test_weight_decay_acts_on_the_selected_entries() -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    chosen = select_for(base, samples, LABELS, config(), silent_meter())
    plain = train_for(base, samples, LABELS, chosen, config(weight_decay=0.0), silent_meter())
    decayed = train_for(base, samples, LABELS, chosen, config(weight_decay=5.0), silent_meter())
    assert not np.array_equal(plain.values, decayed.values)


def test_divergence_is_an_error_and_the_base_comes_back() -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    before = base.flat.sha256()
    chosen = select_for(base, samples, LABELS, config(), silent_meter())
    with pytest.raises(TrainingDiverged):
        train_for(base, samples, LABELS, chosen, config(learning_rate=1e30, epochs=20), silent_meter())
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
        train_for(base, samples, LABELS, chosen, config(), WorkMeter(stop))
    assert base.flat.sha256() == before
    assert all(parameter.grad is None and parameter.requires_grad for parameter in base.model.parameters())


def test_a_loss_far_above_that_of_chance_or_of_the_first_step_is_an_explosion() -> None:
    base = make_base("vit")
    objective = ClassPromptLoss(base, loader(base, SAMPLES), LABELS, config())
    training = Training(objective, np.arange(9), config(learning_rate=0.5))
    for value in (0.1, 50 * math.log(3) - 0.1):
        training._check(value)
    with pytest.raises(TrainingDiverged, match=r"the loss rose to 55 at step 1; try a learning rate below 0.5"):
        training._check(50 * math.log(3) + 0.1)
    high = Training(objective, np.arange(9), config())
    for value in (3.0, 149.0):
        high._check(value)
    with pytest.raises(TrainingDiverged):
        high._check(151.0)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_batch_is_the_sum_of_its_parts(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_base("resnet", dtype=torch.float64)
    samples = loader(base, SAMPLES)
    settings = config(batch_size=5, density=0.01)
    chosen = select_for(base, samples, LABELS, settings, silent_meter())
    expected = train_for(base, samples, LABELS, chosen, settings, silent_meter())
    monkeypatch.setattr(loss, "images_per_pass", lambda *_: size)
    found = train_for(base, samples, LABELS, chosen, settings, silent_meter())
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)


@pytest.mark.parametrize(("encoders", "encoded"), [("image", "encode_tokens"), ("text", "encode_pixels")])
def test_the_tower_in_which_nothing_can_change_runs_once(
    encoders: Encoders, encoded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    settings = config(encoders=encoders, epochs=3, batch_size=len(SAMPLES))
    chosen = select_for(base, samples, LABELS, settings, silent_meter())
    calls: list[int] = []
    run = getattr(base, encoded)

    def note(batch: Tensor) -> Tensor:
        calls.append(len(batch))
        return run(batch)  # type: ignore[no-any-return]

    monkeypatch.setattr(base, encoded, note)
    train_for(base, samples, LABELS, chosen, settings, silent_meter())
    tried_for_size = [1]
    assert sum(calls) == (len(LABELS) if encoded == "encode_tokens" else sum(tried_for_size) + len(SAMPLES))


def test_early_stopping_keeps_the_best_values_and_ends() -> None:
    base = make_base("vit")
    samples = loader(base, SAMPLES)
    settings = config(epochs=40, batch_size=12, learning_rate=0.3, patience_epochs=2)
    chosen = select_for(base, samples, LABELS, settings, silent_meter())
    seen: list[Tensor] = []
    meter = WorkMeter(lambda _: seen.append(base.flat.buffer[chosen].clone()))
    before = base.flat.buffer[chosen].clone()
    wrong = [replace(sample, label=(sample.label + 1) % 3) for sample in SAMPLES]
    objective = ClassPromptLoss(base, samples, LABELS, settings)
    validation = partial(objective.mean_loss, loader(base, wrong))
    delta = Training(objective, chosen, settings, validation=validation).run(meter)
    assert len(seen) < 40
    kept = torch.from_numpy(delta.values).to(before.device) + before
    best = [torch.allclose(values, kept, atol=1e-6) for values in seen]
    assert best.index(True) == len(seen) - 1 - settings.patience_epochs


@pytest.mark.parametrize("encoders", ["both", "text"])
def test_augmented_steps_see_other_pictures_each_time(encoders: Encoders, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_base("vit")
    seen: list[bytes] = []
    encode = base.encode_pixels

    def noting(pixels: Tensor) -> Tensor:
        if len(pixels) > 1:  # one alone only finds out how many fit into memory
            seen.extend(bits(pixels))
        return encode(pixels)

    chosen = select_for(base, loader(base, SAMPLES), LABELS, config(encoders=encoders), silent_meter())
    monkeypatch.setattr(base, "encode_pixels", noting)
    settings = config(encoders=encoders, epochs=3, batch_size=len(SAMPLES), augment="crop")
    deltas = [train_for(base, loader(base, SAMPLES), LABELS, chosen, settings, silent_meter()) for _ in range(2)]
    assert len(seen) == 6
    assert seen[:3] == seen[3:]
    assert len(set(seen)) == 3
    assert deltas[0].values.tobytes() == deltas[1].values.tobytes()
