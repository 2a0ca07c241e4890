"""The phrases that the text tower is taught, each with its place in the image space."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from torch import Tensor
from torch.nn import functional as F

from tools.pretrain.meanings import Known, Meanings
from tools.pretrain.sources import EmojiTable
from tools.pretrain.taxonomy import CATEGORIES
from tools.pretrain.wordnet import WordNet

CLASS, KIND, NOUN, EMOJI, CATEGORY = range(5)
"""Where a phrase comes from: a class's name, a kind of class, another noun, a word of the emoji tables, a category."""

_WORN = (
    "academic gown", "apron", "bathing cap", "bikini", "bolo tie", "bow tie", "brassiere", "cardigan", "cowboy hat",
    "fur coat", "jean", "jersey", "kimono", "lab coat", "military uniform", "miniskirt", "neck brace", "pajama",
    "poncho", "sombrero", "stole", "suit", "sunglass", "sweatshirt", "swimming trunks", "trench coat", "wig",
    "Windsor tie", "Band Aid", "lipstick", "abaya", "mortarboard", "hoopskirt", "gown",
)  # fmt: skip
"""Classes whose photographs show people: the trunk has seen few that are called so (groom, ballplayer, scuba diver)."""


@dataclass(frozen=True)
class Phrases:
    """Unit `places`, float32 (N, width), of `texts`, and where each comes from."""

    texts: tuple[str, ...]
    places: Tensor
    origin: tuple[int, ...]

    def row(self) -> Mapping[str, int]:
        """The row of each text."""
        return {text: row for row, text in enumerate(self.texts)}


def class_offsets() -> list[str]:
    """ImageNet's 1,000 classes in their order, as WordNet offsets."""
    listed = Path(timm.__file__).parent / "data/_info/imagenet_synsets.txt"
    return [line.strip().removeprefix("n") for line in listed.read_text("utf-8").splitlines()]


def with_people(known: Known, wordnet: WordNet) -> Known:
    """`known` with people where what they wear is: ImageNet has next to none that are called people."""
    worn = [row for offset, row in known.row.items() if set(wordnet.synsets[offset].words) & set(_WORN)]
    person = wordnet.first_sense["person"]
    people = [row for offset, row in known.row.items() if offset != person and person in wordnet.ancestors(offset)]
    places = known.places.clone()
    places[known.row[person]] = F.normalize(known.places[[*people, *worn]].mean(0), dim=0)
    return Known(known.offsets, places)


def collect(wordnet: WordNet, known: Known, meanings: Meanings, emoji: EmojiTable) -> Phrases:
    """All phrases. What is said of several things lies between them; a class's name is the class's alone."""
    found: dict[str, dict[int, list[Tensor]]] = defaultdict(lambda: defaultdict(list))
    for origin, texts, places in (
        *_known(wordnet, known),
        (NOUN, *_nouns(wordnet, known, meanings)),
        (EMOJI, *_emoji_words(emoji, meanings)),
    ):
        for text, place in zip(texts, places, strict=True):
            found[text][origin].append(place)
    texts = sorted(found)
    best = [min(found[text]) for text in texts]
    places = torch.stack([torch.stack(found[text][origin]).mean(0) for text, origin in zip(texts, best, strict=True)])
    words = {word for words in CATEGORIES.values() for word in words}
    origins = [CATEGORY if text in words else origin for text, origin in zip(texts, best, strict=True)]
    return Phrases(tuple(texts), F.normalize(places, dim=1), tuple(origins))


def _known(wordnet: WordNet, known: Known) -> Iterable[tuple[int, list[str], Tensor]]:
    classes = len(IMAGENET_CLASSNAMES)
    yield CLASS, [name.lower() for name in IMAGENET_CLASSNAMES], known.places[:classes]
    for row, offset in enumerate(known.offsets):
        words = [word.lower() for word in wordnet.synsets[offset].words]
        yield CLASS if row < classes else KIND, words, known.places[row].expand(len(words), -1)


def _nouns(wordnet: WordNet, known: Known, meanings: Meanings) -> tuple[Sequence[str], Tensor]:
    nouns = [(word, offset) for word, offset in wordnet.nouns() if offset not in known.row]
    words, offsets = [word for word, _ in nouns], [offset for _, offset in nouns]
    return words, meanings.of_synsets(offsets, words)


def _emoji_words(emoji: EmojiTable, meanings: Meanings) -> tuple[Sequence[str], Tensor]:
    words = {word for words in CATEGORIES.values() for word in words}
    for entry in emoji.by_code.values():
        words |= {entry.label.lower(), *entry.keywords}
    listed = sorted(word for word in words if "skin tone" not in word)
    return listed, meanings.of_phrases(listed)
