from __future__ import annotations

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from open_clip.tokenizer import HFTokenizer
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.labels import check_labels, check_texts
from saft_core.clip.zero_shot import fill
from saft_core.errors import InvalidInput
from saft_core.templates import Template
from tests.fixtures.models import CONTEXT_LENGTH

TEMPLATE = "a photo of a {}."


class WordTokenizer:
    """Of no known kind: a number for each word as it is written, cut at the context and padded with zeros."""

    def __init__(self) -> None:
        self.words: dict[str, int] = {}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        rows = [[1, *(self.words.setdefault(word, 9 + len(self.words)) for word in text.split())] for text in texts]
        cut = [[*row[: CONTEXT_LENGTH - 1], 2] for row in rows]
        return torch.tensor([row + [0] * (CONTEXT_LENGTH - len(row)) for row in cut])


class HuggingFaceWords:
    """What HFTokenizer wraps, without the library: it cuts only when told to."""

    def __init__(self) -> None:
        self.words = WordTokenizer()

    def __call__(self, texts: Sequence[str], *, truncation: bool, **_: Any) -> Any:
        assert truncation is False
        known = self.words.words
        return SimpleNamespace(
            input_ids=[
                [1, *(known.setdefault(word.lower(), 9 + len(known)) for word in text.split()), 2] for text in texts
            ]
        )


def hugging_face() -> HFTokenizer:
    tokenize: Any = HFTokenizer.__new__(HFTokenizer)
    tokenize.tokenizer, tokenize.tokenizer_mode, tokenize.context_length = HuggingFaceWords(), "", CONTEXT_LENGTH
    tokenize.clean_fn = open_clip.tokenizer.get_clean_fn("whitespace")
    made: HFTokenizer = tokenize
    return made


def with_tokenizer(base: Base, tokenize: Any) -> Base:
    other = copy.copy(base)
    other.tokenize = tokenize
    return other


def refused(base: Base, labels: Sequence[str], template: Template = TEMPLATE) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        check_labels(base, labels, template)
    return caught.value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hot_dog", "hot dog"),
        ("cat", "cat_"),
        ("cat", "Cat"),
        ("R&D", "R&amp;D"),
        ("cat", "ｃａｔ"),
        ("é", "e\u0301"),
        ("ﬁsh", "fish"),
        ("“cat”", '"cat"'),
        ("cat.", "cat ."),
        ("naÃ¯ve", "naïve"),
        ("AnnualCrop", "annual_crop"),
        ("golden-retriever", "Golden Retriever"),
        ("02_cat", "cat"),
    ],
)
def test_names_that_are_read_alike_are_refused_with_both_and_their_prompts(
    tiny_vit: Base, one: str, other: str
) -> None:
    with torch.inference_mode():
        first, second = tiny_vit.encode_texts(fill("a {}", [one, other]))
    assert torch.equal(first, second)
    error = refused(tiny_vit, ["dog", one, "owl", other], "a {}")
    assert error.error_code == "labels_alike"
    prompts = fill("a {}", [one, other])
    assert error.details == {"labels": [one, other], "prompts": prompts}
    assert all(repr(text) in error.message for text in (one, other, *prompts))


@pytest.mark.parametrize("labels", [["cat", "dog"], ["x²", "x2"], ["猫", "犬"], ["cat"], []])
def test_names_that_are_told_apart_are_taken(tiny_vit: Base, labels: list[str]) -> None:
    check_labels(tiny_vit, labels, "{}")


@pytest.mark.parametrize("label", ["_", " ", "__ _"])
def test_a_name_that_adds_nothing_to_the_template_is_refused(tiny_vit: Base, label: str) -> None:
    assert refused(tiny_vit, ["cat", label]).error_code == "empty_label"


def test_long_names_that_would_be_cut_to_the_same_are_refused_with_their_number_of_tokens(tiny_vit: Base) -> None:
    words = "one two three four five six seven eight nine ten"
    long, other = f"{words} eleven", f"{words} twelve"
    with torch.inference_mode():
        first, second = tiny_vit.encode_texts([long, other])
    assert torch.equal(first, second)
    error = refused(tiny_vit, [long, other], "{}")
    assert error.error_code == "text_too_long"
    assert error.details == {"text": long, "tokens": 13, "max_tokens": CONTEXT_LENGTH}
    assert "13 tokens" in error.message
    assert "at most 12" in error.message
    check_labels(tiny_vit, [words, words.replace("ten", "eleven")], "{}")


def test_the_template_counts(tiny_vit: Base) -> None:
    check_labels(tiny_vit, ["one two three four five", "dog"], TEMPLATE)
    assert refused(tiny_vit, ["one two three four five six", "dog"]).details["tokens"] == 13
    assert refused(tiny_vit, ["dog"], "a b c d e f g h i j {}").error_code == "text_too_long"


@pytest.mark.parametrize("at", [0, 1, 2])
def test_every_template_of_an_ensemble_counts(tiny_vit: Base, at: int) -> None:
    def with_one(template: str) -> Template:
        several = ["a {}", "the {}", "{}!"]
        several[at] = template
        return tuple(several)

    check_labels(tiny_vit, ["cat", "dog"], with_one("one {}"))
    error = refused(tiny_vit, ["cat", "one two three"], with_one("a b c d e f g h {}"))
    assert (error.error_code, error.details["tokens"], error.details["max_tokens"]) == ("text_too_long", 13, 12)
    assert error.details["text"] == "a b c d e f g h one two three"
    assert refused(tiny_vit, ["cat"], with_one("<end_of_text> {}")).error_code == "reserved_text"


def test_classes_that_one_template_of_an_ensemble_makes_alike_are_refused(tiny_vit: Base) -> None:
    """SimpleTokenizer resolves entities, so that a label can complete one that the template begins."""
    labels = ["#233; x", "eacute; x"]
    check_labels(tiny_vit, labels, "a {}")
    for template in ("&{}", ("a {}", "&{}"), ("&{}", "a {}")):
        error = refused(tiny_vit, labels, template)
        assert (error.error_code, error.details["prompts"]) == ("labels_alike", ["&#233; x", "&eacute; x"])


def test_texts_come_as_the_tokens_that_the_model_reads(tiny_vit: Base) -> None:
    texts = ["A Cat", "hot dog &amp; é", "!", ""]
    rows = tiny_vit.tokenize(texts).tolist()
    for tokens, row in zip(check_texts(tiny_vit, texts), rows, strict=True):
        assert list(tokens) == row[: len(tokens)]
        assert not any(row[len(tokens) :])


@pytest.mark.parametrize("text", ["cat<end_of_text>dog", "<start_of_text>cat", "a <END_OF_TEXT>"])
def test_words_that_end_a_text_before_its_end_are_refused(tiny_vit: Base, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_texts(tiny_vit, ["cat", text])
    assert caught.value.error_code == "reserved_text"
    assert refused(tiny_vit, ["cat", "dog"], text + "{}").error_code == "reserved_text"


# --- other tokenizers ------------------------------------------------------------------------------------------------


def test_hugging_face_tokenizers_are_counted_uncut(tiny_vit: Base) -> None:
    base = with_tokenizer(tiny_vit, hugging_face())
    ten = "one two three four five six seven eight nine ten"
    (tokens,) = check_texts(base, [ten])
    assert len(tokens) == CONTEXT_LENGTH
    error = refused(base, [f"{ten} eleven", f"{ten} twelve"], "{}")
    assert (error.error_code, error.details["tokens"], error.details["max_tokens"]) == ("text_too_long", 13, 12)
    assert refused(base, ["hot_dog", "hot  dog"]).error_code == "labels_alike"
    assert refused(base, ["cat", "Cat"]).error_code == "labels_alike"


def test_a_tokenizer_of_an_unknown_kind_is_asked_whether_it_reads_one_more_word(tiny_vit: Base) -> None:
    base = with_tokenizer(tiny_vit, WordTokenizer())
    nine = "one two three four five six seven eight nine"
    check_labels(base, [nine, "Cat", "cat"], "{}")
    for long in (f"{nine} ten", f"{nine} ten eleven", "word " * 50):
        error = refused(base, ["cat", long], "{}")
        assert error.error_code == "text_too_long"
        assert error.details["text"] == long.strip()
    assert refused(base, ["hot_dog", "hot dog"]).error_code == "labels_alike"


def test_the_models_own_tokenizer_is_not_used_by_two_threads(tiny_vit: Base) -> None:
    """Hugging Face's raise 'Already borrowed' when another thread switches cutting on."""
    tokenize = hugging_face()
    check_texts(with_tokenizer(tiny_vit, tokenize), ["cat"])
    inner: Any = tokenize.tokenizer
    assert inner.words.words == {}
