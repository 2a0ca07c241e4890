"""WordNet's nouns: what each word means first, and what kind of thing that is.

Reads the database files of WordNet 3.0 (`data.noun`, `index.noun`; their format is wndb(5WN)). ImageNet's class ids are
the offsets of this very version: those of 3.1 mean other things.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SEEN_KINDS = frozenset({3, 5, 6, 8, 13, 17, 18, 19, 20, 25, 27})
"""Lexicographer files of what can be seen: tops, animals, artifacts, bodies, food, objects, people, phenomena, ..."""

_HYPERNYM, _INSTANCE = "@", "@i"
_WORDS = re.compile(r"[a-z][a-z'-]+( [a-z'-]+){0,2}")


@dataclass(frozen=True)
class Synset:
    """One meaning: its id, the words for it, what it is a kind of, and its definition."""

    offset: str
    kind: int
    words: tuple[str, ...]
    hypernyms: tuple[str, ...]
    is_instance: bool
    gloss: str


class WordNet:
    """The nouns of the folder with the database files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.synsets = {synset.offset: synset for synset in map(_synset, _lines(folder / "data.noun"))}
        self._ancestors: dict[str, frozenset[str]] = {}

    @cached_property
    def first_sense(self) -> dict[str, str]:
        """The synset that a word means most often; words are in lower case with spaces."""
        entries = (line.split() for line in _lines(self._folder / "index.noun"))
        return {entry[0].replace("_", " "): entry[-int(entry[2])] for entry in entries}

    def ancestors(self, offset: str) -> frozenset[str]:
        """The synset itself and all that it is a kind of."""
        if offset not in self._ancestors:
            above = (self.ancestors(parent) for parent in self.synsets[offset].hypernyms)
            self._ancestors[offset] = frozenset({offset}).union(*above)
        return self._ancestors[offset]

    def nouns(self) -> Iterator[tuple[str, str]]:
        """Words for what can be seen, each with its first sense; no names of persons and places."""
        for word, offset in self.first_sense.items():
            synset = self.synsets[offset]
            if synset.kind in SEEN_KINDS and not synset.is_instance and _WORDS.fullmatch(word) and word in synset.words:
                yield word, offset

    def describe(self, offset: str) -> str:
        """A synset in one sentence: its words, its kind, its definition."""
        synset = self.synsets[offset]
        kind = f", a kind of {self.synsets[synset.hypernyms[0]].words[0]}" if synset.hypernyms else ""
        return f"{', '.join(synset.words[:3])}{kind}: {synset.gloss}"


def _lines(path: Path) -> Iterator[str]:
    """The lines of a database file behind its licence, which is indented."""
    with path.open(encoding="utf-8") as file:
        yield from (line for line in file if not line.startswith("  "))


def _synset(line: str) -> Synset:
    fields, _, gloss = line.partition(" | ")
    offset, kind, _, count, *rest = fields.split()
    words = rest[: 2 * int(count, 16) : 2]
    pointers = rest[2 * int(count, 16) + 1 :]
    above = [(pointers[i], pointers[i + 1]) for i in range(0, len(pointers) - 3, 4)]
    return Synset(
        offset,
        int(kind),
        tuple(word.replace("_", " ") for word in words),
        tuple(parent for symbol, parent in above if symbol in (_HYPERNYM, _INSTANCE)),
        any(symbol == _INSTANCE for symbol, _ in above),
        gloss.split(";")[0].strip(),
    )
