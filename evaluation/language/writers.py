"""Models that are asked in words and write their answers, such as T5 (arXiv 1910.10683)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from evaluation.language.boss import Question, Text
from evaluation.language.learner import ANSWER_TOKENS, IGNORED, Learner, mean_of_each, sum_of_each
from evaluation.language.metrics import accuracy, squad_f1

PROMPTS = {"SA": "sentiment of: {}", "TD": "toxicity of: {}", "NLI": "premise: {} hypothesis: {}"}
"""How a class is asked for: this project's words, not the paper's."""


class Writer(Learner):
    """An encoder and a decoder."""

    @property
    def chance(self) -> float:  # noqa: D102
        return math.log(self.model.config.vocab_size)

    def loss(self, samples: Sequence[Any]) -> Tensor:
        """Cross-entropy of the answer's tokens."""
        inputs, targets = self.read([self._asked(sample) for sample in samples]), self._written(samples)
        return self._surprise(inputs, targets, mean=True).mean()

    def _surprise(self, inputs: Any, targets: Tensor, *, mean: bool = False, encoded: Any = None) -> Tensor:
        """Minus the logarithm of what each of N targets is worth, (N,): of all its tokens, or the mean of them."""
        shifted = self.model.prepare_decoder_input_ids_from_labels(targets)
        given = {"input_ids": inputs["input_ids"]} if encoded is None else {"encoder_outputs": encoded}
        said = self.model(attention_mask=inputs["attention_mask"], decoder_input_ids=shifted, use_cache=False, **given)
        return mean_of_each(said.logits, targets) if mean else sum_of_each(said.logits, targets)

    def _written(self, samples: Sequence[Any]) -> Tensor:
        return self._targets([self._answer(sample) for sample in samples])

    def _targets(self, texts: Sequence[str]) -> Tensor:
        written = self.read(texts, max_length=ANSWER_TOKENS)
        targets: Tensor = written["input_ids"].masked_fill(written["attention_mask"] == 0, IGNORED)
        return targets

    @abstractmethod
    def _asked(self, sample: Any) -> str: ...

    @abstractmethod
    def _answer(self, sample: Any) -> str: ...


class WrittenClasses(Writer):
    """The class whose name is the most probable answer."""

    def _asked(self, sample: Text) -> str:
        return PROMPTS[self.task.name].format(*sample.parts)

    def _answer(self, sample: Text) -> str:
        return self.task.labels[sample.label]

    def _answers(self, samples: Sequence[Text]) -> list[int]:
        inputs = self.read([self._asked(sample) for sample in samples])
        encoded = self.model.get_encoder()(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        names = (self._targets([label]).expand(len(samples), -1) for label in self.task.labels)
        surprise = torch.stack([self._surprise(inputs, name, encoded=encoded) for name in names])
        return surprise.argmin(dim=0).tolist()

    def _score(self, answers: Sequence[int], samples: Sequence[Text]) -> float:
        return accuracy(answers, [sample.label for sample in samples])


class WrittenAnswers(Writer):
    """The most probable words, one after another."""

    def _asked(self, sample: Question) -> str:
        return f"question: {sample.question} context: {sample.context}"

    def _answer(self, sample: Question) -> str:
        return sample.answers[0]

    def _answers(self, samples: Sequence[Question]) -> list[str]:
        inputs = self.read([self._asked(sample) for sample in samples])
        given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        written = self.model.generate(**given, max_new_tokens=ANSWER_TOKENS, do_sample=False, num_beams=1)
        return self.tokenizer.batch_decode(written, skip_special_tokens=True)  # type: ignore[no-any-return]

    def _score(self, answers: Sequence[str], samples: Sequence[Question]) -> float:
        return squad_f1(answers, [sample.answers for sample in samples])
