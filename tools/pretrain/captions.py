"""Captions: the phrases that are true of a concept, and the sentences they are put into.

Contrastive training takes every other caption of the batch for wrong. With category words that is often false: two
mammals in a batch are both "a mammal". So every phrase has an id, and `CaptionBank.truth` says which phrases are true
of which concept; the loss leaves true phrases out of the negatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from tools.pretrain.model import CONTEXT_LENGTH
from tools.pretrain.sources import Emoji, Icon
from tools.pretrain.taxonomy import CATEGORIES, category_of

TEMPLATES = (
    "{}",
    "a {}.",
    "the {}.",
    "a photo of a {}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a picture of a {}.",
    "a drawing of a {}.",
    "an image of a {}.",
    "an icon of a {}.",
    "an emoji of a {}.",
    "a small picture of a {}.",
    "a clean photo of a {}.",
    "a cropped photo of a {}.",
    "this is a {}.",
    "{}, on a plain background.",
    "a symbol for {}.",
    "something like a {}.",
)
KIND_TEMPLATE = "a {}, a kind of {}."

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """The phrase ids that may caption a concept, by kind."""

    names: Ids
    keywords: Ids
    categories: Ids


class CaptionBank:
    """Every phrase, tokenised once, and what is true of which concept."""

    def __init__(self, icons: Sequence[Icon]) -> None:
        self.phrases: list[str] = []
        self._ids: dict[str, int] = {}
        self.category_phrases = self._intern(word for words in CATEGORIES.values() for word in words)
        self.concepts = sorted({icon.concept for icon in icons})
        self.concept_index = {concept: i for i, concept in enumerate(self.concepts)}
        self.words = self._collect(icons)
        self.truth = self._truth_table()
        self._tokens = _tokenise(self.phrases)
        self._templates = [tuple(_tokenise(template.split("{}"))) for template in TEMPLATES]
        self._kind = _tokenise(KIND_TEMPLATE.split("{}"))

    def build(self, phrases: Ids, rng: np.random.Generator, kinds: Sequence[int | None] | None = None) -> Tensor:
        """Token rows for phrases, each in a random sentence; with `kinds`, "a {phrase}, a kind of {kind}."."""
        rows = []
        choices = rng.integers(len(self._templates), size=len(phrases))
        for row, (phrase, choice) in enumerate(zip(phrases, choices, strict=True)):
            kind = kinds[row] if kinds is not None else None
            if kind is None:
                before, after = self._templates[choice]
                rows.append(before + self._tokens[phrase] + after)
            else:
                start, middle, end = self._kind
                rows.append(start + self._tokens[phrase] + middle + self._tokens[kind] + end)
        return pad_tokens(rows)

    def _collect(self, icons: Sequence[Icon]) -> list[Words]:
        names: dict[str, list[str]] = {}
        emojis: dict[str, Emoji] = {}
        for icon in icons:
            known = names.setdefault(icon.concept, [])
            if icon.emoji is None:
                known.append(icon.name)
            else:
                emojis[icon.concept] = icon.emoji
                known.append(icon.emoji.label.lower())
        return [self._words(names[concept], emojis.get(concept)) for concept in self.concepts]

    def _words(self, names: Iterable[str], emoji: Emoji | None) -> Words:
        category = category_of(emoji) if emoji else None
        return Words(
            self._intern(names),
            self._intern(emoji.keywords if emoji else ()),
            self._intern(CATEGORIES[category] if category else ()),
        )

    def _intern(self, phrases: Iterable[str]) -> Ids:
        ids = []
        for phrase in dict.fromkeys(phrases):
            if phrase not in self._ids:
                self._ids[phrase] = len(self.phrases)
                self.phrases.append(phrase)
            ids.append(self._ids[phrase])
        return np.array(ids, np.int64)

    def _truth_table(self) -> npt.NDArray[np.bool_]:
        table = np.zeros((len(self.concepts), len(self.phrases)), np.bool_)
        for row, words in enumerate(self.words):
            table[row, words.names] = table[row, words.keywords] = table[row, words.categories] = True
        return table


def _tokenise(texts: Iterable[str]) -> list[list[int]]:
    tokenizer = SimpleTokenizer()
    return [[int(token) for token in tokenizer.encode(text)] for text in texts]


def pad_tokens(rows: Sequence[Sequence[int]]) -> Tensor:
    """Start, tokens, end, zeros: what the tokenizer gives, but only as wide as the longest row needs."""
    start, end = 49406, 49407
    clipped = [[start, *row[: CONTEXT_LENGTH - 2], end] for row in rows]
    width = max(len(row) for row in clipped)
    return torch.tensor([row + [0] * (width - len(row)) for row in clipped])
