from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.methods.full import FullFineTuning
from evaluation.methods.method import Unsuited
from evaluation.methods.sparse import FISHER, IMAGE_ONLY, RANDOM, SAFT, SMALLEST_MAGNITUDE, TEXT_ONLY, DeltaFit, Sparse
from saft_core.clip.flat import tower_of
from saft_core.clip.zero_shot import fill
from saft_core.delta import SparseDelta
from saft_core.errors import TrainingDiverged
from saft_core.training_options import Augment
from saft_core.tuning.training import batches
from tests.evaluation.methods.fitting import QUICK, TEMPLATE, check_fit, coloured, logits_of, quickly
from tests.fixtures.models import TOWERS, bits, make_base
from tests.fixtures.tasks import LABELS, config
from tests.saft_core.tuning.oracle import loss_of, paper_mask, paper_mean_gradient, paper_training

ALL = (SAFT, FISHER, RANDOM, SMALLEST_MAGNITUDE, IMAGE_ONLY, TEXT_ONLY)


def delta_of(method: Sparse, tower: str = "vit", dtype: torch.dtype = torch.float32, **changes: Any) -> SparseDelta:
    delta = quickly(method, make_base(tower, dtype=dtype), **changes).delta
    assert delta is not None
    return delta


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_saft_is_the_papers(tower: str) -> None:
    base = make_base(tower, dtype=torch.float64)
    images, prompts = coloured(base), [fill(TEMPLATE, LABELS)]
    mask = paper_mask(paper_mean_gradient(base, images.loader, prompts), QUICK.density)
    before = base.flat.buffer.clone()
    expected = paper_training(
        base, images.loader, prompts, mask, batches(12, config(epochs=4, batch_size=4, seed=0)),
        steps=12, learning_rate=QUICK.learning_rate, weight_decay=QUICK.weight_decay,
    )  # fmt: skip
    delta = delta_of(SAFT, tower, torch.float64)
    assert np.array_equal(delta.indices, mask.nonzero().reshape(-1).cpu().numpy())
    wanted = (expected - before)[mask].cpu()
    torch.testing.assert_close(torch.from_numpy(delta.values).double(), wanted, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_a_full_mask_is_full_fine_tuning(tower: str, augment: Augment) -> None:
    base = make_base(tower, dtype=torch.float64)
    masked = quickly(RANDOM, base, density=1.0, epochs=2, augment=augment)
    full = quickly(FullFineTuning(), base, epochs=2, augment=augment)
    assert masked.trainable == full.trainable == base.parameter_count
    with masked.active():
        values = base.flat.buffer.clone()
    with full.active():
        # One step moves an entry by about the rate: this is to the fourth digit of it.
        torch.testing.assert_close(values, base.flat.buffer, rtol=0, atol=1e-4 * QUICK.learning_rate)
    torch.testing.assert_close(logits_of(masked, coloured(base)), logits_of(full, coloured(base)))


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_it_learns_and_leaves_the_base(method: Sparse) -> None:
    base = make_base("vit")
    fitted = check_fit(method, base, density=0.02)
    assert fitted.delta is not None
    assert fitted.trainable == len(fitted.delta) <= math.floor(0.02 * base.parameter_count)


def test_random_and_smallest_magnitude_have_just_as_many_entries() -> None:
    wanted = math.floor(QUICK.density * make_base("vit").parameter_count)
    assert len(delta_of(RANDOM, epochs=1)) == len(delta_of(SMALLEST_MAGNITUDE, epochs=1)) == wanted


def test_random_entries_are_drawn_by_the_seed() -> None:
    first, again, other = (delta_of(RANDOM, seed=seed, epochs=1).indices for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_smallest_magnitude_takes_what_is_nearest_to_zero() -> None:
    magnitudes = make_base("vit").flat.buffer.abs()
    chosen = torch.zeros(len(magnitudes), dtype=torch.bool)
    chosen[torch.from_numpy(delta_of(SMALLEST_MAGNITUDE, epochs=1).indices)] = True
    assert magnitudes[chosen].max() <= magnitudes[~chosen].min()


def test_fisher_squares_before_it_averages() -> None:
    base = make_base("vit", dtype=torch.float64)
    images, parameters = coloured(base), list(base.model.parameters())
    squares = torch.zeros_like(base.flat.buffer)
    for position in range(len(images)):
        loss = loss_of(base, images.loader, [position], [fill(TEMPLATE, LABELS)], [1.0] * 3)
        gradient = torch.autograd.grad(loss, parameters)
        squares += torch.cat([part.reshape(-1) for part in gradient]).square()
    found = delta_of(FISHER, dtype=torch.float64, epochs=1).indices
    assert np.array_equal(found, paper_mask(squares, QUICK.density).nonzero().reshape(-1).cpu().numpy())
    assert not np.array_equal(found, delta_of(SAFT, dtype=torch.float64, epochs=1).indices)


@pytest.mark.parametrize(("method", "tower"), [(IMAGE_ONLY, "image"), (TEXT_ONLY, "text")])
def test_entries_lie_in_the_chosen_encoder(method: Sparse, tower: str) -> None:
    flat = make_base("vit").flat
    slots = np.unique(flat.slots_of(delta_of(method, epochs=1).indices))
    assert {tower_of(flat.slots[slot].name) for slot in slots} == {tower}


def test_with_the_image_encoder_as_it_was_images_are_not_encoded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_base("vit")
    fitted, images = quickly(TEXT_ONLY, base), coloured(base)
    whole = DeltaFit(base, fitted.delta)  # type: ignore[arg-type]
    monkeypatch.setattr(whole, "_sees_anew", True)
    torch.testing.assert_close(logits_of(whole, images), logits_of(fitted, images))
    monkeypatch.setattr(base, "encode_pixels", None)
    logits_of(fitted, images)


@pytest.mark.parametrize(("method", "density"), [(IMAGE_ONLY, 0.5), (SAFT, 1e-9)])
def test_a_density_that_cannot_be_is_said(method: Sparse, density: float) -> None:
    with pytest.raises(Unsuited, match="density"):
        quickly(method, make_base("vit"), density=density)


def test_a_fit_that_diverges_leaves_the_base() -> None:
    base = make_base("vit")
    before = bits(base.flat.buffer)
    with pytest.raises(TrainingDiverged):
        quickly(SAFT, base, learning_rate=1e30)
    assert bits(base.flat.buffer) == before


def test_names_and_rates_are_those_of_a_method() -> None:
    assert len({method.name for method in ALL}) == len(ALL)
    base = make_base("vit")
    for method in ALL:
        assert method.hyperparameters.learning_rate(base) == 5e-6
        assert 5e-6 in method.hyperparameters.search(base)
        assert len(method.hyperparameters.search(base)) == 3
