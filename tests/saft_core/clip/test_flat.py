from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from saft_core.clip.backbone import Base
from saft_core.clip.flat import FlatParameters, Slot
from tests.fixtures.device import here
from tests.fixtures.models import bits, make_base, pictures

pytestmark = pytest.mark.gpu


def test_flattening_leaves_the_answers_bit_identical() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    pixels = torch.rand(2, 3, 4, 4)
    before = bits(model(pixels))
    FlatParameters(model)
    assert bits(model(pixels)) == before


def test_parameters_are_views_in_order_of_definition(tiny_base: Base) -> None:
    parameters = dict(tiny_base.model.named_parameters())
    assert [slot.name for slot in tiny_base.flat.slots] == list(parameters)
    for slot in tiny_base.flat.slots:
        tiny_base.flat.buffer[slot.offset] = 7.5
        assert parameters[slot.name].reshape(-1)[0] == 7.5
    assert sum(slot.size for slot in tiny_base.flat.slots) == len(tiny_base.flat)


def test_a_tied_parameter_appears_once() -> None:
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    assert len(FlatParameters(nn.Sequential(first, second))) == 9


def test_added_changes_the_entries_and_reverts_bit_for_bit(tiny_base: Base) -> None:
    generator = torch.Generator().manual_seed(1)
    indices = torch.randperm(len(tiny_base.flat), generator=generator)[:500].sort().values
    before = tiny_base.flat.sha256()
    with tiny_base.flat.added(indices.to(here()), torch.full((500,), 1e-3, device=here())):
        assert tiny_base.flat.sha256() != before
    assert tiny_base.flat.sha256() == before


def test_added_reverts_after_an_error(tiny_vit: Base) -> None:
    before = tiny_vit.flat.sha256()
    with pytest.raises(ZeroDivisionError), tiny_vit.flat.added(*torch.tensor([[5], [1]], device=here())):
        raise ZeroDivisionError
    assert tiny_vit.flat.sha256() == before


def test_gradient_collects_what_backward_computes(tiny_base: Base) -> None:
    pixels = tiny_base.pixels(pictures(2))
    (tiny_base.encode_pixels(pixels).sum()).backward()
    expected = {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in tiny_base.model.named_parameters()
    }
    tiny_base.model.zero_grad()
    with tiny_base.flat.gradient() as flat:
        (tiny_base.encode_pixels(pixels).sum()).backward()
        for slot in tiny_base.flat.slots:
            part = flat[slot.offset : slot.offset + slot.size].view(slot.shape)
            assert torch.equal(part, expected[slot.name]), slot.name
    assert all(parameter.grad is None for parameter in tiny_base.model.parameters())


def test_only_marked_slots_get_a_gradient(tiny_vit: Base) -> None:
    marked = np.zeros(len(tiny_vit.flat.slots), dtype=bool)
    marked[3] = True
    with tiny_vit.flat.trainable(marked), tiny_vit.flat.gradient() as flat:
        tiny_vit.encode_pixels(tiny_vit.pixels(pictures(2))).sum().backward()
        touched = {
            tiny_vit.flat.slots[i].name for i in tiny_vit.flat.slots_of(flat.nonzero().reshape(-1).cpu().numpy())
        }
    assert touched <= {tiny_vit.flat.slots[3].name}
    assert all(parameter.requires_grad for parameter in tiny_vit.model.parameters())


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("visual.transformer.resblocks.3.attn.in_proj_weight", "visual.transformer.resblocks.3"),
        ("visual.layer1.0.conv1.weight", "visual.layer1.0"),
        ("visual.conv1.weight", "visual.conv1"),
        ("token_embedding.weight", "token_embedding"),
        ("logit_scale", "logit_scale"),
    ],
)
def test_block_of_a_parameter(name: str, block: str) -> None:
    assert Slot(name, 0, 1, (1,)).block == block


def test_count_by_block_counts_every_index_once(tiny_base: Base) -> None:
    indices = np.arange(0, len(tiny_base.flat), 97, dtype=np.int64)
    blocks = tiny_base.count_by_block(indices)
    assert sum(row["selected"] for row in blocks) == len(indices)
    assert sum(row["parameters"] for row in blocks) == len(tiny_base.flat)
    last = tiny_base.flat.slots[-1]
    chosen = tiny_base.count_by_block(np.array([last.offset]))
    assert [row["block"] for row in chosen if row["selected"]] == [last.block]


def test_sha256_sees_a_single_bit(tiny_vit: Base) -> None:
    before = tiny_vit.flat.sha256()
    tiny_vit.flat.buffer[-1] = torch.nextafter(tiny_vit.flat.buffer[-1], torch.tensor(torch.inf, device=here()))
    assert tiny_vit.flat.sha256() != before


def test_mixed_dtypes_are_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(ValueError, match="one dtype"):
        FlatParameters(model)


def test_the_same_seed_builds_the_same_base() -> None:
    assert make_base("vit", seed=3).fingerprint == make_base("vit", seed=3).fingerprint
    assert make_base("vit", seed=3).fingerprint != make_base("vit", seed=4).fingerprint
