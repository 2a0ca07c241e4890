from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saft_core.clip.zero_shot import fill
from saft_core.errors import InvalidConfig, TrainingDiverged, TrainingFailed
from saft_core.templates import Template, each
from saft_core.training_options import Encoders, Selection
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.selection import eligible_ranges, random_entries, select, top_k
from saft_core.tuning.selection_scores import fisher, mean_gradient
from saft_core.tuning.strategies import select_for
from tests.fixtures.models import TEXT, TOWERS, make_base
from tests.fixtures.tasks import LABELS, colour_samples, config, loader, silent_meter
from tests.saft_core.tuning.oracle import paper_mask, paper_mean_gradient

pytestmark = pytest.mark.gpu

TEMPLATE = "a photo of a {}."
ENSEMBLE = (TEMPLATE, "the {}", "{} drawn")


@pytest.mark.parametrize("tower", sorted(TOWERS))
@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("template", [TEMPLATE, ENSEMBLE], ids=["one", "ensemble"])
def test_the_mask_is_the_papers_whatever_the_batch_size(tower: str, batch_size: int, template: Template) -> None:
    base = make_base(tower, dtype=torch.float64)
    samples = loader(base, colour_samples(per_class=3))
    settings = config(density=0.003, batch_size=batch_size, template=template)
    ours = select_for(base, samples, LABELS, settings, silent_meter())
    prompts = [fill(one, LABELS) for one in each(template)]
    expected = paper_mask(paper_mean_gradient(base, samples, prompts), 0.003)
    assert len(ours) == int(0.003 * base.parameter_count)
    assert np.array_equal(ours, expected.nonzero().reshape(-1).cpu().numpy())


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_in_float32_the_mask_is_the_papers_but_for_scores_at_the_border(
    tower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saft_core.tuning.loss.passes", lambda _: nullcontext())  # no bfloat16 on a GPU
    base = make_base(tower)
    samples, settings = loader(base, colour_samples(per_class=3)), config(density=0.003)
    ours = select_for(base, samples, LABELS, settings, silent_meter())
    scores = paper_mean_gradient(base, samples, [fill(TEMPLATE, LABELS)]).abs()
    theirs = paper_mask(scores, 0.003).nonzero().reshape(-1).cpu().numpy()
    border = scores[theirs].min()
    for differing in (np.setdiff1d(ours, theirs), np.setdiff1d(theirs, ours)):
        torch.testing.assert_close(scores[differing], border.expand(len(differing)), rtol=1e-2, atol=0)


def test_in_bfloat16_nearly_all_of_the_mask_is_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a ViT; a tiny ResNet with random weights tells pictures apart by less than eight bits."""
    monkeypatch.setattr(
        "saft_core.tuning.loss.passes", lambda device: torch.autocast(device.type, dtype=torch.bfloat16)
    )
    base = make_base("vit")
    samples, settings = loader(base, colour_samples(per_class=3)), config(density=0.003)
    ours = select_for(base, samples, LABELS, settings, silent_meter())
    theirs = paper_mask(paper_mean_gradient(base, samples, [fill(TEMPLATE, LABELS)]), 0.003).nonzero().reshape(-1).cpu()
    assert len(np.intersect1d(ours, theirs)) > 0.95 * len(theirs)


def test_the_average_comes_before_the_magnitude() -> None:
    """Two samples that pull an entry apart cancel; Fisher (mean of squares) would keep the entry."""
    base = make_base("vit", dtype=torch.float64)
    samples = colour_samples(per_class=2)
    of_each = [ClassPromptLoss(base, loader(base, [sample]), LABELS, config()) for sample in samples]
    gradients = [mean_gradient(objective).clone() for objective in of_each]
    objective = ClassPromptLoss(base, loader(base, samples), LABELS, config(batch_size=4))
    average = mean_gradient(objective)
    torch.testing.assert_close(average, torch.stack(gradients).mean(dim=0), rtol=1e-9, atol=1e-14)
    squares = torch.stack(gradients).square().mean(dim=0)
    torch.testing.assert_close(fisher(objective), squares)
    assert not np.array_equal(select(average, 0.01), select(squares, 0.01))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.floats(0.02, 1.0))
def test_select_keeps_the_largest_and_breaks_ties_by_index(values: list[int], density: float) -> None:
    gradient = torch.tensor(values, dtype=torch.float64)
    count = int(density * len(values))
    if count == 0:
        with pytest.raises(InvalidConfig):
            select(gradient, density)
        return
    by_rank = sorted((i for i, value in enumerate(values) if value), key=lambda i: (-abs(values[i]), i))
    if not by_rank:
        with pytest.raises(TrainingFailed, match="zero"):
            select(gradient, density)
        return
    assert select(gradient, density).tolist() == sorted(by_rank[:count])


@pytest.mark.parametrize("selection", ["mean_gradient", "fisher"])
def test_what_has_no_gradient_is_not_selected_however_much_is_asked_for(selection: Selection) -> None:
    """Most of a text tower are embeddings of words that no prompt holds."""
    base = make_base("vit", dtype=torch.float64)
    samples = loader(base, colour_samples(2))
    settings = config(encoders="text", density=0.5, selection=selection)
    chosen = select_for(base, samples, LABELS, settings, silent_meter())
    gradient = paper_mean_gradient(base, samples, [fill(TEMPLATE, LABELS)])
    assert 0 < len(chosen) < int(0.5 * base.parameter_count)
    if selection == "mean_gradient":
        text = np.zeros(base.parameter_count, dtype=bool)
        for start, end in eligible_ranges(base.flat, "text"):
            text[start:end] = True
        expected = paper_mask(torch.where(torch.from_numpy(text).to(gradient.device), gradient, 0), 0.5)
        # The bias of the keys has none: each order of adding up leaves zeros in other places, or 1e-17.
        beyond_rounding = (gradient.abs() > 1e-14).cpu().numpy()
        found, wanted = np.zeros_like(text), expected.cpu().numpy()
        found[chosen] = True
        assert np.array_equal(found & beyond_rounding, wanted & beyond_rounding)
        assert (found ^ wanted).sum() <= 2 * TEXT["layers"] * TEXT["width"]
    names = {base.flat.slots[slot].name for slot in base.flat.slots_of(chosen)}
    assert "token_embedding.weight" in names


@pytest.mark.parametrize(("encoders", "prefix"), [("image", True), ("text", False)])
def test_one_encoder_gets_all_the_entries(encoders: str, prefix: bool) -> None:
    base = make_base("vit")
    settings = config(encoders=encoders)
    chosen = select_for(base, loader(base, colour_samples(2)), LABELS, settings, silent_meter())
    names = {base.flat.slots[slot].name for slot in base.flat.slots_of(chosen)}
    assert len(chosen) == int(settings.density * base.parameter_count)
    assert all(name.startswith("visual.") is prefix for name in names)
    assert "logit_scale" not in names


def test_eligible_ranges_cover_each_tower_once() -> None:
    base = make_base("resnet")
    entries = {
        encoders: np.concatenate([np.arange(*ends) for ends in eligible_ranges(base.flat, encoders)])
        for encoders in ("both", "image", "text")
    }
    assert np.array_equal(entries["both"], np.arange(base.parameter_count))
    assert not np.intersect1d(entries["image"], entries["text"]).size
    assert len(entries["image"]) + len(entries["text"]) == base.parameter_count - 1  # the logit scale is in neither


def test_more_than_the_encoder_has_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="lower it"):
        select(torch.ones(100), 0.5, [(0, 10)])


def test_a_gradient_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(TrainingDiverged):
        select(torch.tensor([1.0, float("nan")]), 0.5)


@given(st.lists(st.integers(-3, 3), min_size=5, max_size=60), st.integers(1, 5), st.integers(1, 7))
def test_a_look_at_a_time_finds_what_one_look_finds(values: list[int], count: int, look: int) -> None:
    scores = torch.tensor(values, dtype=torch.float32)
    ranges = [(0, 2), (3, len(values))]
    eligible = [i for start, end in ranges for i in range(start, end)]
    if count > len(eligible):
        return
    by_rank = sorted(eligible, key=lambda i: (-abs(values[i]), i))
    assert top_k(scores, count, ranges, entries_per_chunk=look).tolist() == sorted(by_rank[:count])


def test_random_entries_follow_the_seed_and_keep_to_the_ranges() -> None:
    ranges = [(0, 10), (90, 100)]
    first, again, other = (random_entries(12, ranges, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) == 12
    assert set(first.tolist()) <= {*range(10), *range(90, 100)}
    assert random_entries(20, ranges, 0).tolist() == [*range(10), *range(90, 100)]


@pytest.mark.parametrize("encoders", ["both", "image", "text"])
def test_the_smallest_magnitudes_are_chosen_by_name(encoders: Encoders) -> None:
    base = make_base("vit")
    settings = config(selection="smallest_magnitude", encoders=encoders)
    chosen = select_for(base, loader(base, colour_samples(1)), LABELS, settings, silent_meter())
    eligible = np.concatenate([np.arange(*ends) for ends in eligible_ranges(base.flat, encoders)])
    magnitude = base.flat.buffer.abs().cpu().numpy()
    others = np.setdiff1d(eligible, chosen)
    assert len(chosen) == int(settings.density * base.parameter_count)
    assert magnitude[chosen].max() <= magnitude[others].min()


def test_each_selection_is_another_one() -> None:
    base = make_base("vit")
    samples = loader(base, colour_samples(2))
    names: tuple[Selection, ...] = ("mean_gradient", "fisher", "random", "smallest_magnitude")
    chosen = {select_for(base, samples, LABELS, config(selection=name), silent_meter()).tobytes() for name in names}
    assert len(chosen) == len(names)
    assert all(parameter.grad is None for parameter in base.model.parameters())
