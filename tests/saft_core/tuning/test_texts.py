from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.tuning.sparse import SparseParameters
from saft_core.tuning.texts import ClassPrompts
from tests.fixtures.models import make_base

LABELS = tuple(f"thing {number}" for number in range(10))


def gradient(base: Base, tokens_per_chunk: int, indices: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
    parameters = SparseParameters(base.flat, indices)
    with parameters.trained():
        prompts = ClassPrompts(base, LABELS, "a {}.", tokens_per_chunk=tokens_per_chunk)
        texts = prompts.encode()
        (texts.sin().sum() * 2).backward()
        prompts.backward(texts)
    assert parameters.values.grad is not None
    return parameters.values.grad


@pytest.mark.parametrize("tokens_per_chunk", [1, 20, 33])
def test_chunks_give_the_gradient_of_the_whole(tokens_per_chunk: int) -> None:
    base = make_base("vit", dtype=torch.float64)
    indices = np.arange(0, base.parameter_count, 50)
    whole = gradient(base, 1 << 20, indices)
    assert whole.abs().sum() > 0
    torch.testing.assert_close(gradient(base, tokens_per_chunk, indices), whole, rtol=1e-9, atol=1e-12)


def test_chunks_hold_no_more_than_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_base("vit")
    with_graph: list[int] = []
    encode = base.encode_tokens

    def note(tokens: Tensor) -> Tensor:
        features = encode(tokens)
        if features.requires_grad:
            with_graph.append(len(tokens))
        return features

    monkeypatch.setattr(base, "encode_tokens", note)
    gradient(base, 24, np.arange(0, base.parameter_count, 50))
    assert max(with_graph) <= 4


@pytest.mark.parametrize("tokens_per_chunk", [20, 1 << 20])
def test_what_cannot_change_is_encoded_once_and_takes_no_gradient(tokens_per_chunk: int) -> None:
    base = make_base("vit")
    visual = next(slot.offset for slot in base.flat.slots if slot.name.startswith("visual."))
    with SparseParameters(base.flat, np.array([visual])).trained():
        prompts = ClassPrompts(base, LABELS, "a {}.", tokens_per_chunk=tokens_per_chunk)
        texts = prompts.encode()
        assert not texts.requires_grad
        assert prompts.encode() is texts
        prompts.backward(texts)


def test_without_gradients_nothing_is_taken_for_constant() -> None:
    base = make_base("vit")
    indices = np.arange(0, base.parameter_count, 50)
    with SparseParameters(base.flat, indices).trained():
        prompts = ClassPrompts(base, LABELS, "a {}.")
        with torch.no_grad():
            prompts.encode()
        assert prompts.encode().requires_grad
