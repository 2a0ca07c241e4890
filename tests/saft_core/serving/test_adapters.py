from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import fill
from saft_core.delta import DeltaHeader, encode
from saft_core.delta.class_embeddings import encode_class_embeddings
from saft_core.serving.adapters import read_adapter
from saft_core.serving.engine import Answers, Engine, EngineLimits
from tests.fixtures.models import make_base, pictures, random_delta
from worker.class_embeddings import class_embeddings

LABELS, TEMPLATE = ("cat", "dog", "owl"), "a photo of a {}."
STRENGTH = 0.6


class Shelf:
    """Adapters "0", "1" ... of one base, with their class embeddings or without. passes: the rows of each, in turn."""

    def __init__(self, base: Base, *, with_embeddings: bool = True) -> None:
        self._base, self._with_embeddings = base, with_embeddings
        self.passes: list[int] = []
        self.loads: list[str] = []

    def load(self, adapter_id: str) -> Any:
        """As the service loads it."""
        self.loads.append(adapter_id)
        container = container_of(self._base, int(adapter_id))
        embeddings = class_embeddings(make_base("vit"), container, STRENGTH) if self._with_embeddings else None
        return read_adapter(container, embeddings, max_bytes=1 << 20)

    def engine(self, **limits: Any) -> Engine:
        """An engine over the shelf, with nothing in memory."""
        return Engine(self._base, self.load, EngineLimits(threads=1, **limits), observe=self.passes.append)


def container_of(base: Base, seed: int) -> bytes:
    header = DeltaHeader(base.fingerprint, base.name, base.parameter_count, 0.001, TEMPLATE, LABELS)
    return encode(random_delta(base, seed), header)


def assert_same(one: Answers, other: Answers) -> None:
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    np.testing.assert_allclose(one.cosines, other.cosines, atol=1e-5)


@pytest.mark.parametrize("strength", [1.0, STRENGTH])
def test_the_first_request_of_a_cold_adapter_runs_one_pass_for_its_picture(tiny_vit: Base, strength: float) -> None:
    stored, plain = Shelf(tiny_vit), Shelf(make_base("vit"), with_embeddings=False)
    cold, reference = stored.engine(), plain.engine()
    for adapter in ("0", "1"):
        answer = cold.classify(adapter, pictures(2), LABELS, TEMPLATE, strength=strength)
        assert_same(answer, reference.classify(adapter, pictures(2), LABELS, TEMPLATE, strength=strength))
    assert stored.passes == [2, 2]
    assert plain.passes == [len(LABELS), 2, len(LABELS), 2]  # the same without them: the texts come first
    assert stored.loads == ["0", "1"]
    counters = cold.counters()
    assert (counters["class_weights_hits"], counters["class_weights_loads"]) == (2, 0)


def test_labels_are_embedded_as_stored_and_by_the_base_at_strength_0(tiny_vit: Base) -> None:
    stored, reference = Shelf(tiny_vit), Shelf(make_base("vit"), with_embeddings=False).engine()
    cold = stored.engine()
    for strength in (1.0, 0.0):
        found = cold.embed_labels("0", LABELS, TEMPLATE, strength=strength)
        wanted = reference.embed_labels("0", LABELS, TEMPLATE, strength=strength)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert stored.passes == []


def test_the_base_is_asked_itself_while_no_adapter_is_in_memory(tiny_vit: Base) -> None:
    stored = Shelf(tiny_vit)
    engine = stored.engine()
    engine.embed_labels("0", LABELS, TEMPLATE, strength=0.0)
    engine.embed_labels(None, LABELS, TEMPLATE)
    assert (stored.passes, stored.loads) == ([len(LABELS)], [])


@pytest.mark.parametrize(
    "asked",
    [
        {"labels": LABELS[::-1]}, {"labels": LABELS[:2]}, {"template": "the {}"}, {"template": (TEMPLATE, "the {}")},
        {"strength": 0.5},
    ],
)  # fmt: skip
def test_other_labels_their_order_templates_and_strengths_do_not_take_the_stored_ones(
    tiny_vit: Base, asked: dict[str, Any]
) -> None:
    stored = Shelf(tiny_vit)
    cold, reference = stored.engine(), Shelf(make_base("vit"), with_embeddings=False).engine()
    given = {"labels": LABELS, "template": TEMPLATE} | asked
    assert_same(cold.classify("0", pictures(1), **given), reference.classify("0", pictures(1), **given))
    assert cold.counters()["class_weights_loads"] == 1
    assert len(stored.passes) > 1


def test_an_adapter_without_stored_ones_makes_them_at_its_first_request_alone(tiny_vit: Base) -> None:
    plain = Shelf(tiny_vit, with_embeddings=False)
    engine = plain.engine()
    for _ in range(2):
        engine.classify("0", pictures(1), LABELS, TEMPLATE)
    assert plain.passes == [len(LABELS), 1, 1]


def test_one_that_was_evicted_is_read_again_and_runs_no_texts(tiny_vit: Base) -> None:
    stored = Shelf(tiny_vit)
    engine = stored.engine(cache_bytes=4000)  # room for one
    for adapter in ("0", "1", "0", "1"):
        engine.classify(adapter, pictures(1), LABELS, TEMPLATE)
    assert (stored.loads, stored.passes) == (["0", "1", "0", "1"], [1, 1, 1, 1])


def test_memory_counts_the_class_embeddings(tiny_vit: Base) -> None:
    sizes = []
    for with_embeddings in (False, True):
        engine = Shelf(tiny_vit, with_embeddings=with_embeddings).engine()
        engine.embed_images("0", pictures(1))
        sizes.append(engine.counters()["delta_bytes"])
    assert sizes[1] - sizes[0] == 3 * len(LABELS) * tiny_vit.embed_dim * 4


@pytest.mark.parametrize("prompts", [lambda: fill("the {}", LABELS), lambda: fill(TEMPLATE, LABELS[::-1])])
def test_stored_ones_of_other_prompts_are_left_out(tiny_vit: Base, prompts: Callable[[], list[str]]) -> None:
    container, embeddings = container_of(tiny_vit, 0), np.ones((3, 16), dtype=np.float32)
    kept = encode_class_embeddings(container, fill(TEMPLATE, LABELS), {1.0: embeddings})
    stale = encode_class_embeddings(container, prompts(), {1.0: embeddings})
    assert read_adapter(container, kept, max_bytes=1 << 20).class_embeddings is not None
    assert read_adapter(container, stale, max_bytes=1 << 20).class_embeddings is None
    assert read_adapter(container, None, max_bytes=1 << 20).class_embeddings is None
