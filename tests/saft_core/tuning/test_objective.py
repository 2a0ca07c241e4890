"""Selection and training of a model that is no CLIP, by a loss over a batch, against plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saft_core.clip.flat import FlatParameters
from saft_core.errors import TrainingDiverged
from saft_core.tuning.checkpoint import TrainingState
from saft_core.tuning.config import Schedule
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.objective import BatchLoss, parts
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.selection import select
from saft_core.tuning.selection_scores import fisher, mean_gradient
from saft_core.tuning.training import Training, batches, train
from tests.fixtures.device import here
from tests.fixtures.models import bits, make_base
from tests.fixtures.tasks import LABELS, colour_samples, config, loader, silent_meter

pytestmark = pytest.mark.gpu

SAMPLES = 10


class Regression:
    """A small network, its samples, and the loss of each."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 3)).double().to(here())
        self.flat = FlatParameters(self.model)
        self.x, self.y = (torch.randn(SAMPLES, size, dtype=torch.float64).to(here()) for size in (6, 3))

    def loss(self, positions: Sequence[int]) -> Tensor:
        return F.mse_loss(self.model(self.x[positions]), self.y[positions])

    def objective(self, **options: Any) -> BatchLoss:
        return BatchLoss(self.flat, SAMPLES, self.loss, **options)

    def gradient(self, positions: Sequence[int]) -> Tensor:
        parts = torch.autograd.grad(self.loss(positions), self.flat.model_parameters())
        return torch.cat([part.reshape(-1) for part in parts])


def schedule(**changes: Any) -> Schedule:
    values = {"learning_rate": 1e-2, "epochs": 5, "batch_size": 4, "weight_decay": 0.1, "seed": 0, "patience_epochs": 0}
    return SimpleNamespace(**values | changes)


@pytest.mark.parametrize(("count", "most", "sizes"), [(7, 3, [3, 2, 2]), (4, 4, [4]), (2, 9, [2]), (3, 1, [1, 1, 1])])
def test_parts_are_few_and_alike(count: int, most: int, sizes: list[int]) -> None:
    found = parts(range(5, 5 + count), most)
    assert [len(part) for part in found] == sizes
    assert [position for part in found for position in part] == list(range(5, 5 + count))


@pytest.mark.parametrize("samples_per_pass", [1, 3, 100])
def test_scores_of_any_model_are_those_of_its_samples(samples_per_pass: int) -> None:
    task = Regression()
    of_each = torch.stack([task.gradient([position]) for position in range(SAMPLES)])
    objective = task.objective(samples_per_pass=samples_per_pass)
    torch.testing.assert_close(mean_gradient(objective), of_each.mean(dim=0), rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(fisher(objective), of_each.square().mean(dim=0), rtol=1e-9, atol=1e-15)


def test_slots_without_a_mark_get_no_score() -> None:
    task = Regression()
    marked = np.array([False, True, True, False])
    scores = mean_gradient(task.objective(), marked)
    for slot, wanted in zip(task.flat.slots, marked, strict=True):
        assert bool(scores[slot.offset : slot.offset + slot.size].abs().sum() > 0) == wanted


def test_the_loss_is_the_mean_and_each_part_is_told() -> None:
    task, seen = Regression(), list[int]()
    with task.flat.gradient() as gradient:
        loss = task.objective(samples_per_pass=2).backward([1, 5, 7], passed=seen.append)
        torch.testing.assert_close(gradient, task.gradient([1, 5, 7]))
    assert loss == pytest.approx(float(task.loss([1, 5, 7]).detach()))
    assert seen == [2, 1]


def test_the_meter_counts_the_samples_of_both_scores() -> None:
    told: list[float] = []

    class Counting(WorkMeter):
        def advance(self, work: Any, amount: float = 1, **_: Any) -> None:
            told.append(amount)

    meter = Counting(lambda _: None)
    mean_gradient(Regression().objective(samples_per_pass=4), meter=meter)
    fisher(Regression().objective(), meter=meter)
    assert sum(told[:3]) == SAMPLES
    assert told[3:] == [1] * SAMPLES


def test_a_model_is_selected_and_trained_without_clip_in_sight() -> None:
    task = Regression()
    before, loss = task.flat.sha256(), float(task.loss(range(SAMPLES)).detach())
    indices = select(mean_gradient(task.objective()), 0.2)
    delta = train(task.objective(), indices, schedule(epochs=30))
    assert task.flat.sha256() == before
    assert np.array_equal(delta.indices, indices)
    with task.flat.added(*(torch.from_numpy(part).to(here()) for part in (delta.indices, delta.values.astype(float)))):
        assert float(task.loss(range(SAMPLES)).detach()) < 0.9 * loss


def test_its_training_goes_on_from_a_checkpoint_and_stops_early() -> None:
    task, stops = Regression(), schedule(epochs=40, patience_epochs=2)
    losses = iter([3.0, 2.0, 2.5, 2.5])  # the best is that of the second epoch, after six steps
    indices, seen = np.arange(0, len(task.flat), 3), []

    def look(_: object) -> None:
        seen.append(task.flat.buffer[indices].clone())

    delta = Training(task.objective(), indices, stops, validation=lambda: next(losses)).run(WorkMeter(look))
    assert len(seen) == 12
    change = (seen[5] - task.flat.buffer[indices]).float().cpu().numpy()
    assert delta.values.tobytes() == change.tobytes()

    whole = Training(task.objective(), indices, schedule())
    half = Training(task.objective(), indices, schedule())
    expected = whole.run(silent_meter())
    with half._parameters.trained():
        for positions in islice(batches(SAMPLES, schedule()), 2):
            half.take_step(positions)
        state = TrainingState.decode(half.state().encode("key"), "key")
    assert state is not None
    heir = Training(task.objective(), indices, schedule())
    heir.resume(state)
    assert heir.step == 2
    assert heir.run(silent_meter()).values.tobytes() == expected.values.tobytes()


def test_a_loss_that_explodes_ends_it() -> None:
    task = Regression()
    with pytest.raises(TrainingDiverged, match="try a learning rate below"):
        train(task.objective(), np.arange(len(task.flat)), schedule(learning_rate=1e9, epochs=50))


def test_of_clip_both_ways_are_the_same() -> None:
    """The product's objective, and the same loss over whole batches as any model's."""
    base = make_base("vit", dtype=torch.float64)
    samples, settings = loader(base, colour_samples(4)), config(batch_size=5, density=0.005)
    own = ClassPromptLoss(base, samples, LABELS, settings)

    def loss(positions: Sequence[int]) -> Tensor:
        pixels, targets = samples.batch(positions)
        texts = base.encode_texts([settings.template.replace("{}", label) for label in LABELS])  # type: ignore[union-attr]
        return F.cross_entropy(base.logit_scale * base.encode_pixels(pixels) @ texts.T, targets)

    any_models = BatchLoss(base.flat, len(samples), loss)
    scores = mean_gradient(own)
    torch.testing.assert_close(scores, mean_gradient(any_models), rtol=1e-9, atol=1e-14)
    chosen = select(scores, settings.density)
    before = bits(base.flat.buffer)
    first, second = (train(one, chosen, settings) for one in (own, any_models))
    np.testing.assert_allclose(first.values, second.values, rtol=1e-4, atol=1e-8)
    assert bits(base.flat.buffer) == before
