from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import ensemble, fill
from saft_core.delta import DeltaHeader, decode, encode
from saft_core.delta.class_embeddings import labels_digest
from saft_core.errors import Cancelled
from saft_core.serving.adapters import read_adapter
from saft_core.templates import Template
from tests.fixtures.models import make_base, random_delta
from worker.class_embeddings import class_embeddings

LABELS = ("cat", "dog", "other")


def container(base: Base, template: Template, seed: int = 0) -> bytes:
    header = DeltaHeader(base.fingerprint, base.name, base.parameter_count, 0.001, template, LABELS)
    return encode(random_delta(base, seed), header)


@pytest.mark.parametrize("template", ["a photo of a {}.", ("a {}.", "the {}")])
def test_they_are_those_of_the_fine_tuned_model_at_each_strength(tiny_base: Base, template: Template) -> None:
    stored, before = container(tiny_base, template), tiny_base.flat.sha256()
    found = read_adapter(stored, class_embeddings(tiny_base, stored, 0.6), max_bytes=1 << 20).class_embeddings
    assert tiny_base.flat.sha256() == before
    assert found is not None
    assert set(found.by_strength) == {0.0, 0.6, 1.0}
    delta = decode(stored, max_bytes=1 << 20)[0]
    for strength, embeddings in found.by_strength.items():
        tuned = make_base(tiny_base.name.removeprefix("tiny-"))
        tuned.flat.buffer[delta.indices] += strength * torch.from_numpy(delta.values)
        with torch.inference_mode():
            wanted = ensemble(tuned.encode_texts(fill(template, LABELS)), template)
        np.testing.assert_allclose(embeddings, wanted.numpy(), atol=1e-6)
    assert found.labels_sha256 == labels_digest(LABELS, template)


def test_an_adapter_of_full_strength_stores_no_other_between(tiny_vit: Base) -> None:
    stored = container(tiny_vit, "a {}")
    found = read_adapter(stored, class_embeddings(tiny_vit, stored, 1.0), max_bytes=1 << 20).class_embeddings
    assert found is not None
    assert set(found.by_strength) == {0.0, 1.0}


def test_those_of_another_adapter_are_not_taken(tiny_vit: Base) -> None:
    mine, other = container(tiny_vit, "a {}"), container(tiny_vit, "a {}", seed=1)
    assert read_adapter(mine, class_embeddings(tiny_vit, other, 1.0), max_bytes=1 << 20).class_embeddings is None


@pytest.mark.parametrize("calls", [1, 2])
def test_a_stop_between_strengths_ends_the_work_and_leaves_the_base(tiny_vit: Base, calls: int) -> None:
    before, left = tiny_vit.flat.sha256(), iter([None] * (calls - 1))

    def stop_after(taken: Callable[[], None] = lambda: None) -> None:
        taken()
        if next(left, Cancelled) is Cancelled:
            raise Cancelled

    with pytest.raises(Cancelled):
        class_embeddings(tiny_vit, container(tiny_vit, "a {}"), 1.0, stop_after)
    assert tiny_vit.flat.sha256() == before
