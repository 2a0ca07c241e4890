"""Encoders with a head, such as DeBERTa (arXiv 2111.09543): a class, a tag for each word, or the ends of an answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.language.boss import Question, Sentence, Text
from evaluation.language.learner import ANSWER_TOKENS, IGNORED, Learner, mean_of_each, precise
from evaluation.language.metrics import accuracy, entity_f1, squad_f1


class Encoder(Learner):
    """A pre-trained encoder and a head, which starts at random."""

    @property
    def chance(self) -> float:  # noqa: D102
        return math.log(len(self.task.labels))

    def head(self) -> list[nn.Parameter]:
        """All that is beside what was pre-trained."""
        inner = f"{self.model.base_model_prefix}."
        return [one for name, one in self.model.named_parameters() if not name.startswith(inner)]


class Classes(Encoder):
    """The class of a text, or of two."""

    def loss(self, samples: Sequence[Text]) -> Tensor:
        """Cross-entropy of the class."""
        targets = torch.tensor([sample.label for sample in samples], device=self.device)
        return F.cross_entropy(precise(self._logits(samples)), targets)

    def _logits(self, samples: Sequence[Text]) -> Tensor:
        first, *others = zip(*(sample.parts for sample in samples), strict=True)
        logits: Tensor = self.model(**self.read(first, others[0] if others else None)).logits
        return logits

    def _answers(self, samples: Sequence[Text]) -> list[int]:
        return self._logits(samples).argmax(dim=1).tolist()

    def _score(self, answers: Sequence[int], samples: Sequence[Text]) -> float:
        return accuracy(answers, [sample.label for sample in samples])


class WordTags(Encoder):
    """The tag of each word, told at its first token. Words beyond the cut are outside of every entity.

    Where a test set never uses a tag, none is given: BOSS's data sets know unlike entities.
    """

    def loss(self, samples: Sequence[Sentence]) -> Tensor:
        """Cross-entropy of the tags, mean over the words of each sentence."""
        inputs, firsts = self._split(samples)
        targets = torch.full_like(inputs["input_ids"], IGNORED)
        for row, (sample, places) in enumerate(zip(samples, firsts, strict=True)):
            for word, token in places:
                targets[row, token] = self.task.labels.index(sample.tags[word])
        return mean_of_each(self.model(**inputs).logits, targets).mean()

    def _split(self, samples: Sequence[Sentence]) -> tuple[Any, list[list[tuple[int, int]]]]:
        """Model input, and of each sentence the words that are in it, each with its first token."""
        inputs = self.read([list(sample.words) for sample in samples], is_split_into_words=True)
        firsts = [list(_firsts(inputs.word_ids(row))) for row in range(len(samples))]
        return inputs, firsts

    def _answers(self, samples: Sequence[Sentence]) -> list[tuple[list[int], Tensor]]:
        """Of each sentence the words that are not cut off, and the logits of their tags."""
        inputs, firsts = self._split(samples)
        logits = self.model(**inputs).logits.float().cpu()
        return [
            ([word for word, _ in places], of_all[[token for _, token in places]])
            for places, of_all in zip(firsts, logits, strict=True)
        ]

    def _score(self, answers: Sequence[tuple[list[int], Tensor]], samples: Sequence[Sentence]) -> float:
        used = {tag for sample in samples for tag in sample.tags} | {"O"}
        unused = torch.tensor([tag not in used for tag in self.task.labels])
        tagged = []
        for (words, logits), sample in zip(answers, samples, strict=True):
            tags = ["O"] * len(sample.words)
            for word, best in zip(words, logits.masked_fill(unused, -math.inf).argmax(dim=1).tolist(), strict=True):
                tags[word] = self.task.labels[best]
            tagged.append(tags)
        return entity_f1(tagged, [sample.tags for sample in samples])


class Spans(Encoder):
    """The part of the context that answers: its first and its last token. A context is cut, and never cut in windows.

    An answer that is beyond the cut, or not in the context at all, adds nothing to the loss.
    """

    @property
    def chance(self) -> float:  # noqa: D102
        return math.log(self.max_tokens)

    def loss(self, samples: Sequence[Question]) -> Tensor:
        """Cross-entropy of the first and of the last token, the mean of both."""
        inputs, places = self._pair(samples)
        ends = torch.tensor([_tokens(sample.span(), where) for sample, where in zip(samples, places, strict=True)])
        said, padding = self.model(**inputs), inputs["attention_mask"] == 0
        of_each = [
            F.cross_entropy(
                precise(logits).masked_fill(padding, -math.inf),
                ends[:, end].to(self.device), ignore_index=IGNORED, reduction="sum",
            )
            for end, logits in enumerate((said.start_logits, said.end_logits))
        ]  # fmt: skip
        return (of_each[0] + of_each[1]) / (2 * len(samples))

    def _pair(self, samples: Sequence[Question]) -> tuple[Any, list[list[tuple[int, int] | None]]]:
        """Model input, and of each token the characters of the context that it stands for, if it is of the context."""
        questions, contexts = [one.question for one in samples], [one.context for one in samples]
        inputs = self.read(questions, contexts, truncation="only_second", return_offsets_mapping=True)
        offsets = inputs.pop("offset_mapping").tolist()
        places: list[list[tuple[int, int] | None]] = [
            [(start, end) if of == 1 and end > start else None for of, (start, end) in zip(which, row, strict=True)]
            for which, row in ((inputs.sequence_ids(number), row) for number, row in enumerate(offsets))
        ]
        return inputs, places

    def _answers(self, samples: Sequence[Question]) -> list[str]:
        inputs, places = self._pair(samples)
        said = self.model(**inputs)
        both = zip(said.start_logits.float().cpu(), said.end_logits.float().cpu(), strict=True)
        return [
            _best_span(start, end, where, sample.context)
            for (start, end), where, sample in zip(both, places, samples, strict=True)
        ]

    def _score(self, answers: Sequence[str], samples: Sequence[Question]) -> float:
        return squad_f1(answers, [sample.answers for sample in samples])


def _best_span(start: Tensor, end: Tensor, places: Sequence[tuple[int, int] | None], context: str) -> str:
    """The text between the most probable pair of ends, from logits (L,): in order, in the context, not too long."""
    outside = torch.tensor([place is None for place in places])
    pairs = start.masked_fill(outside, -math.inf)[:, None] + end.masked_fill(outside, -math.inf)[None]
    allowed = torch.ones_like(pairs, dtype=torch.bool).triu().tril(ANSWER_TOKENS - 1)
    first, last = divmod(int(pairs.masked_fill(~allowed, -math.inf).argmax()), len(places))
    ends = places[first], places[last]
    return context[ends[0][0] : ends[1][1]] if ends[0] is not None and ends[1] is not None else ""


def _tokens(span: tuple[int, int] | None, places: Sequence[tuple[int, int] | None]) -> list[int]:
    """The first and the last token of these characters; `IGNORED` twice where they are not all there."""
    if span is not None:
        within = [number for number, place in enumerate(places) if place and place[0] < span[1] and place[1] > span[0]]
        if within and (last := places[within[-1]]) is not None and last[1] >= span[1]:
            return [within[0], within[-1]]
    return [IGNORED, IGNORED]


def _firsts(words: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Each word with the first of its tokens."""
    before = None
    for token, word in enumerate(words):
        if word is not None and word != before:
            yield word, token
        before = word
