from __future__ import annotations

import pytest
import torch

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import class_weights, ensemble, fill, prompts_by_label
from tests.fixtures.models import pictures


def test_prompts_hold_the_label_as_words() -> None:
    assert fill("a photo of a {}.", ["golden_retriever", "猫"]) == [
        "a photo of a golden retriever.",
        "a photo of a 猫.",
    ]


@pytest.mark.parametrize("label", ["none_of_these", "Other", "background", "01_unknown", "something else"])
def test_a_class_of_the_rest_is_something_else(label: str) -> None:
    assert fill("a photo of a {}.", [label, "cat"]) == ["a photo of something else.", "a photo of a cat."]
    assert fill("The {}, drawn", [label]) == ["something else, drawn"]
    assert fill("{}", [label]) == ["something else"]


@pytest.mark.parametrize("label", ["another", "other animal", "unknown soldier", "a none"])
def test_a_name_that_holds_such_a_word_is_a_name(label: str) -> None:
    assert fill("a photo of a {}.", [label]) == [f"a photo of a {label}."]


def test_braces_in_a_label_are_left_alone() -> None:
    assert fill("a {}", ["{0} {x}"]) == ["a {0} {x}"]


ENSEMBLE = ("a photo of a {}.", "the {}", "{}, drawn")


def test_the_prompts_of_an_ensemble_go_template_by_template() -> None:
    assert fill(("a {}", "the {}!"), ["hot_dog", "other"]) == [
        "a hot dog", "something else", "the hot dog!", "something else!",
    ]  # fmt: skip


def test_prompts_are_told_by_label() -> None:
    assert prompts_by_label("a {}", ["hot_dog", "owl"]) == ["a hot dog", "a owl"]
    assert prompts_by_label(("a {}", "{}!"), ["hot_dog", "owl"]) == [["a hot dog", "hot dog!"], ["a owl", "owl!"]]


def test_an_ensemble_is_the_normalised_mean_of_unit_embeddings(tiny_vit: Base) -> None:
    labels = ["cat", "dog", "owl", "fox"]
    with torch.inference_mode():
        rows = []
        for label in labels:
            tokens = tiny_vit.tokenize([template.replace("{}", label) for template in ENSEMBLE])
            each = tiny_vit.model.encode_text(tokens)  # type: ignore[operator]
            mean = (each / each.norm(dim=1, keepdim=True)).sum(dim=0) / len(ENSEMBLE)
            rows.append(mean / mean.norm())
        weights = class_weights(tiny_vit, labels, ENSEMBLE)
        first = class_weights(tiny_vit, labels, ENSEMBLE[0])
    torch.testing.assert_close(weights, tiny_vit.logit_scale * torch.stack(rows), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(weights, first, atol=1e-2)


def test_one_template_is_what_it_was_bit_by_bit(tiny_vit: Base) -> None:
    with torch.inference_mode():
        embeddings = tiny_vit.encode_texts(["a cat", "a dog"])
        assert ensemble(embeddings, "a {}") is embeddings
        assert torch.equal(class_weights(tiny_vit, ["cat", "dog"], "a {}"), tiny_vit.logit_scale * embeddings)


def test_logits_are_scaled_cosines(tiny_base: Base) -> None:
    labels = ("cat", "dog")
    pixels = tiny_base.pixels(pictures(3))
    with torch.inference_mode():
        ours = tiny_base.encode_pixels(pixels) @ class_weights(tiny_base, labels, "a {}").T
        images, texts = tiny_base.encode_pixels(pixels), tiny_base.encode_texts(["a cat", "a dog"])
        cosines = torch.nn.functional.cosine_similarity(images[:, None], texts[None], dim=2)
        torch.testing.assert_close(ours, cosines * tiny_base.logit_scale, rtol=1e-4, atol=1e-4)


def test_many_labels_are_encoded_in_passes_with_the_same_answer(tiny_vit: Base) -> None:
    labels = [f"thing {number}" for number in range(300)]
    with torch.inference_mode():
        together = class_weights(tiny_vit, labels, "{}")
        alone = class_weights(tiny_vit, labels[290:], "{}")
    assert together.shape == (300, 16)
    torch.testing.assert_close(together[290:], alone, rtol=1e-5, atol=1e-5)
