"""BOSS (arXiv 2306.04618): five tasks, each trained on one data set and tested on three more of other origin.

The files are those that BOSS's own processing writes (github.com/lifan-yuan/OOD_NLP), below one folder:

SentimentAnalysis/amazon/{train,test}.tsv           Text, Label (and toxic detection)
NaturalLanguageInference/mnli/{train,test}.tsv      Premise, Hypothesis, Label
NameEntityRecognition/fewnerd/{train,test}.tsv      token, tab, tag; an empty line after each sentence; no header
QuestionAnswering/squad/{train,test}.json           an object a line: question, context, answers.text

A data set that is only tested on may have no train file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evaluation.datasets.dataset import MissingData

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Text:
    """A text, or a premise and a hypothesis. label: position among the task's labels."""

    parts: tuple[str, ...]
    label: int


@dataclass(frozen=True)
class Sentence:
    """Words, and the tag of each: O, or B- or I- and what it names."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A question whose answers, of which any is right, are taken from its context."""

    question: str
    context: str
    answers: tuple[str, ...]

    def span(self) -> tuple[int, int] | None:
        """Where the context has the first of the answers that it has at all: characters from and to before.

        BOSS's `answer_start` is not asked: of the data sets that come from MRQA it holds texts.
        """
        places = ((self.context.find(answer), len(answer)) for answer in self.answers if answer)
        return next(((start, start + length) for start, length in places if start >= 0), None)


Sample = Text | Sentence | Question


@dataclass(frozen=True)
class BossTask:
    """One of BOSS's.

    labels: class names or tags in label order. trained: the data set that is trained on. shifted: all others.
    suffix: of its files. parse: what makes samples of one.
    """

    name: str
    folder: str
    kind: Literal["text", "tags", "span"]
    labels: tuple[str, ...]
    trained: str
    shifted: tuple[str, ...]

    def read(self, root: Path, dataset: str, part: Part, most: int = 0, seed: int = 0) -> list[Sample]:
        """The samples of one file, or so many of them, drawn by the seed, in the file's order; 0 takes all.

        Raises MissingData when the file is not there, or not as BOSS has it.
        """
        path = root / self.folder / dataset / f"{part}.{'json' if self.kind == 'span' else 'tsv'}"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                found = list(_READERS[self.kind](file, self.labels))
        except OSError as error:
            raise MissingData(f"{path}: {error.strerror}") from error
        except (csv.Error, KeyError, TypeError, ValueError) as error:
            raise MissingData(f"{path}: {error}") from error
        if not found:
            raise MissingData(f"{path}: it holds no sample")
        if not 0 < most < len(found):
            return found
        drawn = np.random.default_rng(seed).choice(len(found), most, replace=False)
        return [found[place] for place in sorted(drawn.tolist())]


def _texts(file: Iterator[str], labels: Sequence[str]) -> Iterator[Sample]:
    """Rows without a text or a whole label are passed over, as BOSS's own reader does."""
    rows = csv.reader(file, delimiter="\t")
    header = next(rows, [])
    if len(header) not in (2, 3) or _label(header[-1]) is not None:
        raise ValueError(f"the first line must name two or three columns, the label last, not {header[:4]}")
    for row in rows:
        label = _label(row[-1]) if len(row) == len(header) else None
        if label is None or not all(part.strip() for part in row[:-1]):
            continue
        if not 0 <= label < len(labels):
            raise ValueError(f"line {rows.line_num}: label {label} is none of 0 to {len(labels) - 1}")
        yield Text(tuple(row[:-1]), label)


def _label(cell: str) -> int | None:
    try:
        return int(float(cell))
    except ValueError:
        return None


def _sentences(file: Iterator[str], tags: Sequence[str]) -> Iterator[Sample]:
    words: list[tuple[str, str]] = []
    for number, line in enumerate(file, 1):
        cells = line.strip().split("\t" if "\t" in line.strip() else None)
        if len(cells) == 2:
            if cells[1] not in tags:
                raise ValueError(f"line {number}: there is no tag {cells[1]!r}; those of BOSS are {', '.join(tags)}")
            words.append((cells[0], cells[1]))
        elif not cells or not line.strip():
            yield from _sentence(words)
            words = []
    yield from _sentence(words)


def _sentence(words: list[tuple[str, str]]) -> Iterator[Sample]:
    if words:
        yield Sentence(*(tuple(column) for column in zip(*words, strict=True)))


def _questions(file: Iterator[str], _: Sequence[str]) -> Iterator[Sample]:
    """Those without an answer are passed over: BOSS has none to learn from them."""
    for line in filter(str.strip, file):
        said: dict[str, Any] = json.loads(line)
        answers = tuple(str(answer) for answer in said["answers"]["text"])
        if answers:
            yield Question(str(said["question"]), str(said["context"]), answers)


_READERS: dict[str, Callable[[Any, Sequence[str]], Iterator[Sample]]] = {
    "text": _texts,
    "tags": _sentences,
    "span": _questions,
}
NAMED = ("location", "person", "organization", "miscellaneous", "building", "art", "product", "event")
TAGS = ("O", *(f"{place}-{name}" for name in NAMED for place in "BI"))
TASKS: dict[str, BossTask] = {
    task.name: task
    for task in (
        BossTask(
            "SA", "SentimentAnalysis", "text", ("negative", "positive", "neutral"),
            "amazon", ("dynasent", "semeval", "sst5"),
        ),
        BossTask(
            "TD", "ToxicDetection", "text", ("benign", "toxic"),
            "civil_comments", ("adv_civil", "implicit_hate", "toxigen"),
        ),
        BossTask(
            "NLI", "NaturalLanguageInference", "text", ("entailment", "neutral", "contradiction"),
            "mnli", ("anli", "contract_nli", "wanli"),
        ),
        BossTask("NER", "NameEntityRecognition", "tags", TAGS, "fewnerd", ("conll", "ener", "wnut")),
        BossTask("EQA", "QuestionAnswering", "span", (), "squad", ("advqa", "newsqa", "searchqa")),
    )
}  # fmt: skip
"""By the short names that BOSS's paper has for them."""
