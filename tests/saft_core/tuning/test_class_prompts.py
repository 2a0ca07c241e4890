from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.sparse.parameters import SparseParameters
from saft_core.templates import Template, each
from saft_core.tuning.class_prompts import ClassPrompts
from tests.fixtures.models import make_base

pytestmark = pytest.mark.gpu

LABELS = tuple(f"thing {number}" for number in range(10))


TEMPLATE = "a {}."
ENSEMBLE = ("a {}.", "the small {}", "{} drawn")


def gradient(
    base: Base,
    tokens_per_chunk: int,
    indices: np.ndarray[tuple[int], np.dtype[np.int64]],
    template: Template = TEMPLATE,
) -> Tensor:
    parameters = SparseParameters(base.flat, indices)
    with parameters.trained():
        prompts = ClassPrompts(base, LABELS, template, tokens_per_chunk=tokens_per_chunk)
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


def plain_embeddings(base: Base, templates: Sequence[str]) -> Tensor:
    rows = [
        base.model.encode_text(
            base.tokenize([one.replace("{}", label) for label in LABELS]).to(base.device), normalize=True
        )  # type: ignore[operator]
        for one in templates
    ]
    mean = torch.stack(rows).mean(dim=0)
    unit: Tensor = mean / mean.norm(dim=1, keepdim=True)
    return unit


@pytest.mark.parametrize("tokens_per_chunk", [1, 20, 33, 1 << 20])
def test_the_gradient_goes_through_the_mean_of_an_ensemble(tokens_per_chunk: int) -> None:
    base = make_base("vit", dtype=torch.float64)
    indices = np.arange(0, base.parameter_count, 50)
    parameters = list(base.model.parameters())
    loss = plain_embeddings(base, ENSEMBLE).sin().sum() * 2
    parts = torch.autograd.grad(loss, parameters, allow_unused=True)
    dense = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, parts, strict=True)]
    expected = torch.cat([part.reshape(-1) for part in dense])[indices]
    assert expected.abs().sum() > 0
    found = gradient(base, tokens_per_chunk, indices, ENSEMBLE)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tokens_per_chunk", [20, 1 << 20])
def test_an_ensemble_is_encoded_to_one_embedding_a_class(tokens_per_chunk: int) -> None:
    base = make_base("vit", dtype=torch.float64)
    indices = np.arange(0, base.parameter_count, 50)
    with SparseParameters(base.flat, indices).trained():
        prompts = ClassPrompts(base, LABELS, ENSEMBLE, tokens_per_chunk=tokens_per_chunk)
        with torch.no_grad():
            looked = prompts.encode()
        for texts in (looked, prompts.encode()):
            torch.testing.assert_close(texts.detach(), plain_embeddings(base, ENSEMBLE).detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tokens_per_chunk", [20, 1 << 20])
def test_a_look_without_gradients_leaves_the_step_under_way_alone(tokens_per_chunk: int) -> None:
    base = make_base("vit", dtype=torch.float64)
    indices = np.arange(0, base.parameter_count, 50)
    expected = gradient(base, 1 << 20, indices, ENSEMBLE)
    parameters = SparseParameters(base.flat, indices)
    with parameters.trained():
        prompts = ClassPrompts(base, LABELS, ENSEMBLE, tokens_per_chunk=tokens_per_chunk)
        texts = prompts.encode()
        (texts.sin().sum() * 2).backward()
        with torch.no_grad():
            prompts.encode()
        prompts.backward(texts)
    assert parameters.values.grad is not None
    torch.testing.assert_close(parameters.values.grad, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("template", [TEMPLATE, ENSEMBLE])
def test_chunks_hold_no_more_than_one_graph(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_base("vit")
    with_graph: list[int] = []
    encode = base.encode_tokens

    def note(tokens: Tensor) -> Tensor:
        features = encode(tokens)
        if features.requires_grad:
            with_graph.append(len(tokens))
        return features

    monkeypatch.setattr(base, "encode_tokens", note)
    gradient(base, 24, np.arange(0, base.parameter_count, 50), template)
    assert sum(with_graph) >= len(LABELS) * len(each(template))
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
