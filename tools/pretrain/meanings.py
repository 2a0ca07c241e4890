"""Where words should lie in the image space: the class prototypes, carried over to every other noun by meaning."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from tools.pretrain.teacher import Teacher
from tools.pretrain.wordnet import WordNet

NAME_WEIGHT, GLOSS_WEIGHT, TREE_WEIGHT = 0.7, 1.0, 0.7
RIDGE = 4.0
OWN_SHARE = 0.8
"""Of a noun that is no class and no kind of one: the rest is the place of the nearest kind that is known."""


@dataclass(frozen=True)
class Known:
    """Synsets with a place: unit rows, float32 (N, width)."""

    offsets: tuple[str, ...]
    places: Tensor

    @cached_property
    def row(self) -> Mapping[str, int]:
        """The row of each synset."""
        return {offset: row for row, offset in enumerate(self.offsets)}


def known_synsets(wordnet: WordNet, classes: Sequence[str], prototypes: Tensor) -> Known:
    """The classes at their prototypes, and each kind of thing at the mean of the classes of that kind."""
    members: dict[str, list[int]] = defaultdict(list)
    for row, offset in enumerate(classes):
        for kind in wordnet.ancestors(offset) - {offset}:
            members[kind].append(row)
    kinds = sorted(members.keys() - set(classes))
    means = torch.stack([prototypes[members[kind]].mean(0) for kind in kinds])
    return Known((*classes, *kinds), torch.cat([prototypes, F.normalize(means, dim=1)]))


class Meanings:
    """Places of all nouns by kernel ridge regression from what the teacher and WordNet's tree say of them."""

    def __init__(self, wordnet: WordNet, teacher: Teacher, known: Known) -> None:
        self._wordnet = wordnet
        self._teacher = teacher
        self._known = known
        self._kinds = self._weighted_kinds(known.offsets)
        self._place = ridge(self._features(known.offsets), known.places, RIDGE)
        names = teacher.embed([self._name(offset) for offset in known.offsets])
        self._place_of_name = ridge(names, known.places, RIDGE / 2)

    def of_synsets(self, offsets: Sequence[str], names: Sequence[str]) -> Tensor:
        """Unit places, float32 (N, width), of meanings that go by these names."""
        own = F.normalize(self._place(self._features(offsets, names)), dim=1)
        kinds = torch.stack([self._nearest_kind(offset) for offset in offsets])
        return F.normalize(OWN_SHARE * own + (1 - OWN_SHARE) * kinds, dim=1)

    def of_phrases(self, phrases: Sequence[str]) -> Tensor:
        """Unit places, float32 (N, width), of words that WordNet does not know."""
        return F.normalize(self._place_of_name(self._teacher.embed(phrases)), dim=1)

    def _name(self, offset: str) -> str:
        return self._wordnet.synsets[offset].words[0].lower()

    def _features(self, offsets: Sequence[str], names: Sequence[str] | None = None) -> Tensor:
        named = self._teacher.embed(list(names or map(self._name, offsets)))
        glosses = self._teacher.embed([self._wordnet.describe(offset) for offset in offsets])
        return torch.cat([NAME_WEIGHT * named, GLOSS_WEIGHT * glosses, TREE_WEIGHT * self._tree(offsets)], dim=1)

    def _tree(self, offsets: Sequence[str]) -> Tensor:
        """Which kinds a synset belongs to, rare ones counting more; unit rows, float32 (N, kinds)."""
        rows = torch.zeros(len(offsets), len(self._kinds))
        for row, offset in enumerate(offsets):
            for kind in self._wordnet.ancestors(offset) & self._kinds.keys():
                column, weight = self._kinds[kind]
                rows[row, column] = weight
        return F.normalize(rows, dim=1)

    def _weighted_kinds(self, offsets: Sequence[str]) -> dict[str, tuple[int, float]]:
        """Column and weight of each kind: the root of its inverse document frequency."""
        count: dict[str, int] = defaultdict(int)
        for offset in offsets:
            for kind in self._wordnet.ancestors(offset):
                count[kind] += 1
        return {
            kind: (column, math.sqrt(math.log(len(offsets) / number)))
            for column, (kind, number) in enumerate(sorted(count.items()))
        }

    def _nearest_kind(self, offset: str) -> Tensor:
        """The place of the smallest known kind that is fewest steps above."""
        level = list(self._wordnet.synsets[offset].hypernyms)
        while level:
            rows = [self._known.row[kind] for kind in level if kind in self._known.row]
            if rows:
                return self._known.places[
                    max(rows, key=lambda row: len(self._wordnet.ancestors(self._known.offsets[row])))
                ]
            level = [parent for kind in level for parent in self._wordnet.synsets[kind].hypernyms]
        return torch.zeros(self._known.places.shape[1])


def ridge(inputs: Tensor, targets: Tensor, penalty: float) -> Callable[[Tensor], Tensor]:
    """Ridge regression in its dual form: float32 (N, features) and (N, width) to a function of (M, features)."""
    centre = inputs.mean(0)
    centred = inputs - centre
    gram = centred @ centred.T
    gram.diagonal().add_(penalty)
    weights = centred.T @ torch.linalg.solve(gram, targets)
    return lambda more: (more - centre) @ weights
