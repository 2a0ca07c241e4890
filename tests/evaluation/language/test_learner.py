"""Tiny models on handmade samples: losses by hand, and SAFT against dense training of which all else is put back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.language.boss import TASKS, Question, Sample, Sentence, Text
from evaluation.language.command import learner
from evaluation.language.learner import IGNORED, Learner
from evaluation.language.methods import METHODS, Settings
from evaluation.language.metrics import entity_f1, squad_f1
from evaluation.methods.method import Unsuited
from saft_core.sparse.parameters import SparseParameters
from saft_core.tuning.selection import select
from saft_core.tuning.selection_scores import mean_gradient
from saft_core.tuning.training import batches, train
from tests.evaluation.language.tiny import deberta, files, t5, tokenizer
from tests.fixtures.models import bits

pytestmark = pytest.mark.hf

MODELS: dict[str, Callable[[], Any]] = {
    "T5 SA": t5,
    "T5 NLI": lambda: t5(gated=True),
    "T5 EQA": t5,
    "DeBERTa SA": lambda: deberta("SequenceClassification", 3),
    "DeBERTa NLI": lambda: deberta("SequenceClassification", 3),
    "DeBERTa NER": lambda: deberta("TokenClassification", 17),
    "DeBERTa EQA": lambda: deberta("QuestionAnswering"),
}
SETTINGS = Settings(1e-2, epochs=4, batch_size=2, weight_decay=0.1, seed=0, density=0.02, rank=2)


def made(name: str, root: Path, dtype: torch.dtype = torch.float32, **options: Any) -> tuple[Learner, list[Sample]]:
    task = TASKS[name.split()[1]]
    samples = task.read(files(root), task.trained, "train")
    return learner(MODELS[name]().to(dtype), tokenizer(), task, **options), samples


def dense_gradient(adapted: Learner, samples: Sequence[Sample]) -> Tensor:
    """Equation 2, sample by sample, by plain autograd: (D,)."""
    parameters = adapted.flat.model_parameters()
    total = torch.zeros_like(adapted.flat.buffer)
    for one in parameters:
        one.requires_grad_(True)
    for sample in samples:
        parts = torch.autograd.grad(adapted.loss([sample]), parameters, allow_unused=True)
        each = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, parts, strict=True)]
        total += torch.cat([part.reshape(-1) for part in each]) / len(samples)
    for one in parameters:
        one.requires_grad_(False)
    return total


def close(found: Tensor, expected: Tensor) -> None:
    """To float32's precision: in float64 too Hugging Face's T5 takes its norms and its softmax in float32."""
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7 * float(expected.abs().max().clamp(min=1)))


def masked_training(adapted: Learner, samples: Sequence[Sample], chosen: np.ndarray[Any, Any]) -> Tensor:
    """Dense AdamW over all parameters down a half cosine; what is not chosen is put back after each step. (D,)"""
    flat, parameters = adapted.flat, adapted.flat.model_parameters()
    before, mask = flat.buffer.clone(), torch.zeros(len(flat), dtype=torch.bool)
    mask[chosen] = True
    optimizer = torch.optim.AdamW(parameters, SETTINGS.learning_rate, weight_decay=SETTINGS.weight_decay)
    drawn = list(batches(len(samples), SETTINGS))
    for one in parameters:
        one.requires_grad_(True)
    for step, positions in enumerate(drawn):
        optimizer.param_groups[0]["lr"] = SETTINGS.learning_rate * (1 + math.cos(math.pi * step / len(drawn))) / 2
        optimizer.zero_grad(set_to_none=False)
        adapted.loss([samples[position] for position in positions]).backward()
        optimizer.step()
        with torch.no_grad():
            flat.buffer.copy_(torch.where(mask, flat.buffer, before))
    trained = flat.buffer.clone()
    for one in parameters:
        one.requires_grad_(False)
        one.grad = None
    flat.buffer.copy_(before)
    return trained


@pytest.mark.parametrize("name", MODELS)
def test_selection_and_training_give_the_numbers_of_dense_training_with_a_mask(name: str, tmp_path: Path) -> None:
    adapted, samples = made(name, tmp_path, torch.float64)
    objective, before = adapted.objective(samples), adapted.flat.sha256()
    scores = mean_gradient(objective)
    close(scores, dense_gradient(adapted, samples))
    chosen = select(scores, SETTINGS.density)
    assert len(chosen) == int(SETTINGS.density * len(adapted.flat))
    expected = (masked_training(adapted, samples, chosen) - adapted.flat.buffer)[chosen]
    delta = train(objective, chosen, SETTINGS)
    assert (delta.values != 0).all()
    torch.testing.assert_close(torch.from_numpy(delta.values).double(), expected, rtol=1e-4, atol=1e-7)
    assert adapted.flat.sha256() == before


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_gets_its_gradient_also_one_that_is_tied(name: str, tmp_path: Path) -> None:
    adapted, samples = made(name, tmp_path, torch.float64)
    some = [np.arange(slot.offset, slot.offset + min(slot.size, 40)) for slot in adapted.flat.slots]
    indices = np.concatenate(some).astype(np.int64)
    parameters = SparseParameters(adapted.flat, indices)
    with parameters.trained():
        adapted.loss(samples).backward()
    assert parameters.values.grad is not None
    close(parameters.values.grad, dense_gradient(adapted, samples)[indices])


def test_one_slot_holds_what_t5_uses_thrice() -> None:
    tied = t5()
    adapted = learner(tied, tokenizer(), TASKS["SA"])
    assert [slot.name for slot in adapted.flat.slots if "shared" in slot.name or "lm_head" in slot.name] == [
        "shared.weight"
    ]
    with adapted.flat.added(torch.tensor([0]), torch.tensor([1.0])):
        assert tied.lm_head.weight[0, 0] == tied.encoder.embed_tokens.weight[0, 0] == tied.shared.weight[0, 0]


@pytest.mark.parametrize("name", MODELS)
def test_what_a_sample_adds_depends_on_no_other(name: str, tmp_path: Path) -> None:
    adapted, samples = made(name, tmp_path, torch.float64)
    alone = torch.stack([adapted.loss([sample]) for sample in samples])
    torch.testing.assert_close(adapted.loss(samples), alone.mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("per_pass", [1, 2, 100])
def test_a_batch_is_the_sum_of_its_parts(per_pass: int, tmp_path: Path) -> None:
    adapted, samples = made("T5 SA", tmp_path, torch.float64, samples_per_pass=per_pass)
    close(mean_gradient(adapted.objective(samples)), dense_gradient(adapted, samples))
    assert adapted.score(samples) in {n / len(samples) for n in range(len(samples) + 1)}


@pytest.mark.parametrize("method", [name for name in METHODS if name != "as it is"])
@pytest.mark.parametrize("name", ["T5 SA", "T5 EQA", "DeBERTa NER", "DeBERTa EQA"])
def test_each_method_learns_its_samples_and_leaves_the_model_as_it_was(name: str, method: str, tmp_path: Path) -> None:
    adapted, samples = made(name, tmp_path)
    settings = Settings(2e-2, epochs=10, batch_size=2, weight_decay=0.0, seed=1, density=0.05, rank=4)
    before, modules = adapted.flat.sha256(), [(name, type(one)) for name, one in adapted.model.named_modules()]
    attributes = set(vars(adapted.model))
    loss = float(adapted.loss(samples))
    with METHODS[method](adapted, samples, settings) as trainable:
        assert float(adapted.loss(samples).detach()) < 0.8 * loss
        trained = adapted.flat.buffer.clone()
    with METHODS[method](adapted, samples, settings):
        assert bits(adapted.flat.buffer) == bits(trained)
    head = sum(one.numel() for one in adapted.head())
    blocks = {"T5": 6 * 2 * (16 * 4 + 4 * 16), "DeBERTa": 2 * 2 * (16 * 4 + 4 * 16) + head}
    assert trainable == {"SAFT": int(0.05 * len(adapted.flat)), "full fine-tuning": len(adapted.flat)}.get(
        method, blocks[name.split(maxsplit=1)[0]]
    )
    assert adapted.flat.sha256() == before
    assert [(name, type(one)) for name, one in adapted.model.named_modules()] == modules
    assert set(vars(adapted.model)) == attributes
    assert all(one.grad is None and not one.requires_grad for one in adapted.model.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_the_model_comes_back_whatever_is_raised_meanwhile(method: str, tmp_path: Path) -> None:
    adapted, samples = made("DeBERTa SA", tmp_path)
    before, modules = adapted.flat.sha256(), [type(one) for one in adapted.model.modules()]
    with pytest.raises(KeyError), METHODS[method](adapted, samples, SETTINGS):
        raise KeyError
    assert adapted.flat.sha256() == before
    assert [type(one) for one in adapted.model.modules()] == modules


def test_lora_starts_at_the_model_and_follows_the_seed(tmp_path: Path) -> None:
    adapted, samples = made("T5 SA", tmp_path)
    loss = float(adapted.loss(samples))
    still = Settings(0.0, epochs=1, batch_size=5, weight_decay=0.0, seed=0, density=0.1, rank=2)
    with METHODS["LoRA"](adapted, samples, still):
        assert float(adapted.loss(samples)) == loss
    torch.manual_seed(5)
    drawn = torch.rand(1)
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(5)
        with METHODS["LoRA"](adapted, samples, Settings(1e-2, 2, 2, 0.0, seed, 0.1, 2)):
            losses.append(float(adapted.loss(samples)))
        assert torch.rand(1) == drawn
    assert losses[0] == losses[1] != losses[2]


def test_a_model_that_writes_names_no_tags() -> None:
    with pytest.raises(Unsuited, match="DeBERTa"):
        learner(t5(), tokenizer(), TASKS["NER"])


def test_a_written_class_is_the_most_probable_of_the_names(tmp_path: Path) -> None:
    adapted, samples = made("T5 SA", tmp_path, torch.float64)
    model, words = adapted.model, tokenizer()
    right = 0
    for sample in samples:
        assert isinstance(sample, Text)
        asked = words(f"sentiment of: {sample.parts[0]}", return_tensors="pt").input_ids
        names = [words(label, return_tensors="pt").input_ids for label in adapted.task.labels]
        losses = [float(model(input_ids=asked, labels=name).loss) * name.shape[1] for name in names]
        right += int(np.argmin(losses)) == sample.label
        own = float(model(input_ids=asked, labels=names[sample.label]).loss)
        assert float(adapted.loss([sample])) == pytest.approx(own)
    assert adapted.score(samples) == pytest.approx(right / len(samples))


def test_written_answers_are_those_that_were_learned(tmp_path: Path) -> None:
    adapted, samples = made("T5 EQA", tmp_path)
    settings = Settings(3e-2, epochs=60, batch_size=3, weight_decay=0.0, seed=0, density=0.1, rank=2)
    assert adapted.score(samples) < 0.5
    with METHODS["full fine-tuning"](adapted, samples, settings):
        written = adapted._answers(samples)
        assert written[0].split() == ["paris"]
        answers = [sample.answers for sample in samples if isinstance(sample, Question)]
        assert adapted.score(samples) == squad_f1(written, answers) > 0.5


def test_a_word_is_tagged_by_its_first_token(tmp_path: Path) -> None:
    adapted, samples = made("DeBERTa NER", tmp_path, torch.float64)
    sentence = samples[1]
    assert isinstance(sentence, Sentence)
    tokens = tokenizer()(list(sentence.words), is_split_into_words=True, return_tensors="pt")
    assert tokens.word_ids() == [0, 1, 2, 3, 3, None]  # "initech" is two tokens
    targets = torch.tensor([adapted.task.labels.index(tag) for tag in sentence.tags])
    logits = adapted.model(**tokens).logits[0]
    expected = F.cross_entropy(logits[:4], targets)
    torch.testing.assert_close(adapted.loss([sentence]), expected)


def test_words_beyond_the_cut_are_outside_and_unknown_tags_are_not_given(tmp_path: Path) -> None:
    adapted, samples = made("DeBERTa NER", tmp_path, max_tokens=3)
    with torch.no_grad():
        adapted.model.classifier.bias[adapted.task.labels.index("B-product")] = 100.0
        adapted.model.classifier.bias[adapted.task.labels.index("B-person")] = 50.0
    tagged = [["B-person", "B-person", "O", "O"]] * 2
    assert adapted.score(samples) == entity_f1(tagged, [one.tags for one in samples if isinstance(one, Sentence)])


def test_an_answer_is_learned_at_its_first_and_last_token(tmp_path: Path) -> None:
    adapted, samples = made("DeBERTa EQA", tmp_path, torch.float64)
    question = Question("who is", "the film was made by Initech and bob", ("Initech and bob",))
    tokens = tokenizer()(question.question, question.context, return_tensors="pt")
    pieces = tokenizer().convert_ids_to_tokens(tokens["input_ids"][0])
    first, last = pieces.index("init"), pieces.index("bob")
    said = adapted.model(**tokens)
    ends = ((said.start_logits, first), (said.end_logits, last))
    expected = sum(F.cross_entropy(logits, torch.tensor([place])) for logits, place in ends) / 2
    torch.testing.assert_close(adapted.loss([question]), expected)
    assert samples


def test_an_answer_beyond_the_cut_adds_nothing_and_one_is_still_given(tmp_path: Path) -> None:
    adapted, _ = made("DeBERTa EQA", tmp_path, max_tokens=8)
    beyond = Question("who is", "the film was made by Initech and bob", ("bob",))
    nowhere = Question("who is", "the film was made by Initech and bob", ("acme",))
    assert float(adapted.loss([beyond])) == float(adapted.loss([nowhere])) == 0
    (answer,) = adapted._answers([beyond])
    assert answer
    assert answer in beyond.context


def test_the_span_is_the_best_pair_in_order_within_the_context() -> None:
    from evaluation.language.encoders import _best_span  # noqa: PLC0415

    places = [None, None, (0, 3), (4, 7), (8, 11), None]
    start = torch.tensor([9.0, 0.0, 1.0, 2.0, 5.0, 0.0])
    end = torch.tensor([0.0, 9.0, 4.0, 6.0, 0.0, 9.0])
    assert _best_span(start, end, places, "abc def ghi") == "def"  # 2 + 6, and not 5 + 6, which is backwards
    assert IGNORED == -100
