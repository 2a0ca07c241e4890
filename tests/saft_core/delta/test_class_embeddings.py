from __future__ import annotations

import numpy as np
import pytest

from saft_core.delta.class_embeddings import (
    ClassEmbeddings,
    FloatArray,
    decode_class_embeddings,
    encode_class_embeddings,
    labels_digest,
)

LABELS, TEMPLATE = ("cat", "dog"), "a {}."
PROMPTS = ["a cat.", "a dog."]
CONTAINER = b"a delta, and behind it its checksum " + bytes(range(32))


def made() -> dict[float, FloatArray]:
    generator = np.random.default_rng(0)
    return {strength: generator.normal(size=(2, 5)).astype(np.float32) for strength in (0.0, 0.6, 1.0)}


def read(stored: bytes, container: bytes = CONTAINER, prompts: list[str] = PROMPTS) -> ClassEmbeddings | None:
    return decode_class_embeddings(stored, container, prompts, LABELS, TEMPLATE)


def test_what_is_decoded_is_what_was_encoded_to_the_bit() -> None:
    by_strength = made()
    found = read(encode_class_embeddings(CONTAINER, PROMPTS, by_strength))
    assert found is not None
    assert list(found.by_strength) == [0.0, 0.6, 1.0]
    for strength, embeddings in by_strength.items():
        kept = found.get(labels_digest(LABELS, TEMPLATE), strength)
        assert kept is not None
        assert (kept.dtype.name, kept.shape, kept.tobytes()) == ("float32", (2, 5), embeddings.tobytes())
    assert found.nbytes == 3 * 2 * 5 * 4


def test_those_of_another_container_or_of_other_prompts_are_refused() -> None:
    stored = encode_class_embeddings(CONTAINER, PROMPTS, made())
    assert read(stored, CONTAINER[:-1] + b"x") is None
    assert read(stored, prompts=["a cat.", "the dog."]) is None
    assert read(stored, prompts=PROMPTS[::-1]) is None
    assert read(b"") is None


@pytest.mark.parametrize(
    ("labels", "template", "strength"),
    [(("dog", "cat"), "a {}.", 1.0), (LABELS, "the {}", 1.0), (LABELS, TEMPLATE, 0.5), (("cat",), "a {}.", 1.0)],
)
def test_other_labels_templates_and_strengths_are_not_found(
    labels: tuple[str, ...], template: str, strength: float
) -> None:
    found = read(encode_class_embeddings(CONTAINER, PROMPTS, made()))
    assert found is not None
    assert found.get(labels_digest(labels, template), strength) is None


def test_damage_is_told_and_leaves_them_to_be_made_anew() -> None:
    stored = encode_class_embeddings(CONTAINER, PROMPTS, made())
    for place in range(0, len(stored), 7):
        assert read(stored[:place] + bytes([stored[place] ^ 16]) + stored[place + 1 :]) is None
        assert read(stored[:place]) is None
    assert read(stored + b"x") is None
