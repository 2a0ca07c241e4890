"""Accuracy, the F1 of named entities (CoNLL's), and the F1 of answers (SQuAD's), each from 0 to 1."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence

Tags = Sequence[str]
Entity = tuple[str, int, int]
"""What it is, and its words from the first to before the second."""


def accuracy(predicted: Sequence[int], true: Sequence[int]) -> float:
    """Share of the samples whose predicted class is the true one."""
    return sum(one == other for one, other in zip(predicted, true, strict=True)) / len(true)


def entity_f1(predicted: Sequence[Tags], true: Sequence[Tags]) -> float:
    """Of all sentences' entities together (micro): right are those with the same words and the same name.

    As conlleval counts (CoNLL-2000 and 2003): an entity begins at B-, and at an I- that goes on from no entity of its
    name. 0 where nothing is right.
    """
    right = found = wanted = 0
    for guess, truth in zip(predicted, true, strict=True):
        ours, theirs = set(entities(guess)), set(entities(truth))
        right, found, wanted = right + len(ours & theirs), found + len(ours), wanted + len(theirs)
    return 2 * right / (found + wanted) if right else 0.0


def entities(tags: Tags) -> Iterator[Entity]:
    """Those that the tags of one sentence mark."""
    start, name = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, named = tag.partition("-")
        if prefix == "I" and named == name:
            continue
        if name:
            yield name, start, place
        start, name = place, named


def squad_f1(predicted: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Mean over the questions of the best F1 of the words that the prediction shares with one of the answers.

    As SQuAD's script (arXiv 1606.05250) has it: in lower case, without punctuation, articles and more than one space.
    """
    best = [max(_overlap(one, answer) for answer in known) for one, known in zip(predicted, answers, strict=True)]
    return sum(best) / len(best)


def _overlap(predicted: str, answer: str) -> float:
    guess, truth = normalised(predicted), normalised(answer)
    shared = (Counter(guess) & Counter(truth)).total()
    return 2 * shared / (len(guess) + len(truth)) if shared else 0.0


def normalised(answer: str) -> list[str]:
    """The words that count."""
    bare = "".join(letter for letter in answer.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()
