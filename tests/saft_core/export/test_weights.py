from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from saft_core.clip.backbone import Base
from saft_core.delta import SparseDelta
from saft_core.errors import ExportUnsupported
from saft_core.export import weights
from saft_core.export.weights import Merged, weights_bytes, write_weights
from tests.fixtures.models import bits, make_base, random_delta


def merged(base: Base, delta: SparseDelta | None = None, strength: float = 1.0) -> Merged:
    delta = random_delta(base, 0) if delta is None else delta
    return Merged(base, lambda start, stop: base.flat.buffer[start:stop].clone(), delta, strength)


def written(path: Path, made: Merged) -> dict[str, torch.Tensor]:
    with path.open("wb") as file:
        write_weights(file, made)
    return load_file(path)


@pytest.mark.parametrize("strength", [1.0, 0.3])
@pytest.mark.parametrize("entries_at_once", [weights.ENTRIES_AT_ONCE, 1_000])
def test_the_file_is_the_merged_models_state_dict_bit_by_bit(
    tmp_path: Path, tiny_base: Base, monkeypatch: pytest.MonkeyPatch, strength: float, entries_at_once: int
) -> None:
    monkeypatch.setattr(weights, "ENTRIES_AT_ONCE", entries_at_once)
    made = merged(tiny_base, strength=strength)
    found = written(tmp_path / "file", made)
    differences = torch.from_numpy(made.delta.values) * strength
    before = bits(tiny_base.flat.buffer)
    with tiny_base.flat.added(torch.from_numpy(made.delta.indices), differences):
        expected = {name: bits(value) for name, value in tiny_base.model.state_dict().items()}
    assert {name: bits(value) for name, value in found.items()} == expected
    assert bits(tiny_base.flat.buffer) == before
    assert (tmp_path / "file").stat().st_size == pytest.approx(weights_bytes(tiny_base), rel=0.05)


def test_at_strength_0_it_is_the_base_down_to_negative_zeros(tmp_path: Path, tiny_vit: Base) -> None:
    tiny_vit.flat.buffer[:10] = -0.0
    delta = SparseDelta(np.arange(10), np.ones(10, np.float32))
    found = written(tmp_path / "file", merged(tiny_vit, delta, 0.0))
    assert {name: bits(value) for name, value in found.items()} == {
        name: bits(value) for name, value in tiny_vit.model.state_dict().items()
    }


def test_a_parameter_of_two_names_is_written_under_both(tmp_path: Path) -> None:
    base = make_base("vit")
    base.model.again = base.model.token_embedding
    base = Base(base.model, base.preprocess, base.tokenize, name="tied")
    slot = next(slot for slot in base.flat.slots if slot.name == "token_embedding.weight")
    delta = SparseDelta(np.array([slot.offset + 3]), np.ones(1, np.float32))
    found = written(tmp_path / "file", merged(base, delta))
    assert torch.equal(found["again.weight"], found["token_embedding.weight"])
    assert found["again.weight"][0, 3] == base.flat.parameter(slot)[0, 3] + 1
    assert set(found) == set(base.model.state_dict())


def test_what_is_held_in_memory_does_not_grow_with_the_base(
    tmp_path: Path, tiny_vit: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "ENTRIES_AT_ONCE", 10_000)
    asked = []

    def read(start: int, stop: int) -> torch.Tensor:
        asked.append(stop - start)
        return tiny_vit.flat.buffer[start:stop].clone()

    made = Merged(tiny_vit, read, random_delta(tiny_vit, 0), 1.0)
    with (tmp_path / "file").open("wb") as file:
        tracemalloc.start()
        write_weights(file, made)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert max(asked) <= 10_000
    assert sum(asked) == tiny_vit.parameter_count
    assert peak < weights_bytes(tiny_vit) / 4


def test_a_base_of_another_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportUnsupported, match="bfloat16"):
        written(tmp_path / "file", merged(make_base("vit", dtype=torch.bfloat16)))
