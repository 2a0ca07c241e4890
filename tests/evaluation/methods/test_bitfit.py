from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.methods.bitfit import BitFit, biases
from saft_core.clip.backbone import Base
from tests.evaluation.methods.fitting import check_fit, quickly
from tests.fixtures.families import FAMILIES, make
from tests.fixtures.models import TOWERS, bits, make_base


def of_layers(base: Base) -> set[str]:
    """Names of what the layers of torch add: their biases."""
    found = set()
    for name, module in base.model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            found |= {f"{name}.in_proj_bias"}
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm | nn.BatchNorm2d) and module.bias is not None:
            found |= {f"{name}.bias"}
    return found


def named(base: Base) -> set[str]:
    flat = base.flat
    chosen = dict.fromkeys(range(len(flat.slots)), 0)
    for slot in flat.slots_of(biases(flat)).tolist():
        chosen[slot] += 1
    assert all(count in (0, flat.slots[number].size) for number, count in chosen.items())  # whole or not at all
    return {flat.slots[number].name for number, count in chosen.items() if count}


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_the_biases_of_all_layers_are_trained_and_nothing_else(tower: str) -> None:
    base = make_base(tower)
    assert named(base) == of_layers(base)
    fitted = quickly(BitFit(), base)
    assert fitted.delta is not None
    assert np.array_equal(fitted.delta.indices, biases(base.flat))
    others = torch.ones(base.parameter_count, dtype=torch.bool)
    others[torch.from_numpy(biases(base.flat))] = False
    before, slots = base.flat.buffer.clone(), [slot for slot in base.flat.slots if slot.name in of_layers(base)]
    with fitted.active():
        assert bits(base.flat.buffer[others]) == bits(before[others])
        moved = base.flat.buffer != before
    assert all(moved[slot.offset : slot.offset + slot.size].any() for slot in slots if "k_proj" not in slot.name)


@pytest.mark.parametrize("title", ["SigLIP", "EfficientNet-Lite", "ConvNeXt", "EVA-02"])
def test_other_families_have_biases_too(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make(next(family for family in FAMILIES if family.title == title), monkeypatch)
    assert of_layers(base) <= named(base)
    assert not any(name.startswith("logit_") for name in named(base))
    assert {name.rpartition(".")[2] for name in named(base) - of_layers(base)} <= {"bias", "q_bias", "v_bias"}


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_it_learns_and_leaves_the_base(tower: str) -> None:
    base = make_base(tower)
    fitted = check_fit(BitFit(), base, learning_rate=1e-2)
    assert fitted.trainable == sum(
        parameter.numel() for name, parameter in base.model.named_parameters() if name in of_layers(base)
    )
