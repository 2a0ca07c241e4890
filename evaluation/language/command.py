"""`saft evaluate-language`: a table for each of BOSS's tasks, every method beside the others.

It needs what `pip install 'saft[language]'` installs.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from evaluation.datasets.dataset import MissingData
from evaluation.language.boss import TASKS, BossTask, Sample
from evaluation.language.encoders import Classes, Spans, WordTags
from evaluation.language.learner import Learner
from evaluation.language.methods import METHODS, Settings
from evaluation.language.writers import WrittenAnswers, WrittenClasses
from evaluation.methods.method import Unsuited
from saft_core.errors import InvalidConfig, TrainingFailed, Unavailable

PACKAGES = ("transformers", "peft")
HEADS = {
    "text": "AutoModelForSequenceClassification",
    "tags": "AutoModelForTokenClassification",
    "span": "AutoModelForQuestionAnswering",
}
LEARNERS: Mapping[tuple[bool, str], type[Learner]] = {
    (True, "text"): WrittenClasses,
    (True, "span"): WrittenAnswers,
    (False, "text"): Classes,
    (False, "tags"): WordTags,
    (False, "span"): Spans,
}
"""By whether a model writes, and by the kind of the task."""
METRICS = {"text": "accuracy", "tags": "F1 of entities", "span": "F1 of answers"}


@dataclass(frozen=True)
class Row:
    """One method. scores: by data set, one for each seed, from 0 to 1. trainable: numbers that it trained."""

    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    trainable: int = 0
    failed: str | None = None


@dataclass(frozen=True)
class TaskTable:
    """One task. rows: by method. missing: by data set, or for the whole task by "", why there is no figure."""

    task: BossTask
    rows: Mapping[str, Row] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """A heading, the table and what is missing."""
        names = (self.task.trained, *self.task.shifted)
        lines = [f"### {self.task.name}: {METRICS[self.task.kind]}, in percent, trained on {self.task.trained}", ""]
        if self.rows:
            lines += [
                f"| method | {' | '.join(names)} | mean of shifted | trainable |",
                "|---" * (len(names) + 3) + "|",
            ]
            lines += [self._line(method, row, names) for method, row in self.rows.items()]
        reasons = {name or self.task.name: why for name, why in self.missing.items()}
        reasons |= {method: row.failed for method, row in self.rows.items() if row.failed}
        return "\n".join(
            [*lines, *([""] if self.rows and reasons else []), *(f"- {k}: {v}" for k, v in reasons.items())]
        )

    def _line(self, method: str, row: Row, names: Sequence[str]) -> str:
        shifted = [row.scores[name] for name in self.task.shifted if name in row.scores]
        together = [statistics.mean(of_seed) for of_seed in zip(*shifted, strict=True)]
        cells = [*(_cell(row.scores.get(name, ())) for name in names), _cell(together), f"{row.trainable:,}"]
        return f"| {method} | {' | '.join(cells)} |"


@dataclass(frozen=True)
class LanguageReport:
    """What `run` found. conditions: what the paper leaves open and this run chose, a sentence each."""

    conditions: Sequence[str]
    tables: Sequence[TaskTable]

    def markdown(self) -> str:
        """To be printed."""
        said = "\n".join(f"- {condition}" for condition in self.conditions)
        return "\n\n".join([said, *(table.markdown() for table in self.tables)]) + "\n"


@dataclass(frozen=True)
class Chosen:
    """What a run is told beside model and data; see `run`."""

    methods: Sequence[str]
    learning_rates: Mapping[str, float]
    settings: Settings
    seeds: Sequence[int]
    train_samples: int
    test_samples: int
    max_tokens: int
    samples_per_pass: int


def run(
    model: str,
    data: Path,
    *,
    tasks: Sequence[str] = tuple(TASKS),
    methods: Sequence[str] = tuple(METHODS),
    learning_rate: float = 1e-4,
    learning_rates: Mapping[str, float] | None = None,
    density: float = 0.001,
    rank: int = 8,
    epochs: int = 3,
    batch_size: int = 32,
    weight_decay: float = 0.1,
    seeds: Sequence[int] = (0,),
    train_samples: int = 0,
    test_samples: int = 0,
    max_tokens: int = 512,
    samples_per_pass: int = 16,
    device: str = "cpu",
) -> LanguageReport:
    """Adapt a language model to each task by each method, and score it on the task's own and its shifted test sets.

    model: a name on the Hugging Face hub, or a folder; T5 and the like write, others get a head.
    data: the folder with BOSS's, as `boss.py` has it. What is not there is left out, with the reason.
    learning_rate: of every method that `learning_rates` does not name; none was searched for.
    train_samples, test_samples: so many of each file, drawn by the seed 0; 0 takes all.
    device: as torch names it.

    Raises InvalidConfig for a task or a method that there is not; Unavailable when the extra is not installed or the
    model cannot be loaded.
    """
    _check(tasks, TASKS, "task")
    _check(methods, METHODS, "method")
    if absent := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise Unavailable(f"language models need {' and '.join(absent)}: pip install 'saft[language]'")
    settings = Settings(learning_rate, epochs, batch_size, weight_decay, 0, density, rank)
    chosen = Chosen(
        methods, learning_rates or {}, settings, seeds, train_samples, test_samples, max_tokens, samples_per_pass
    )  # fmt: skip
    tables = [_table(TASKS[name], model, Path(data), device, chosen) for name in tasks]
    return LanguageReport(_conditions(model, chosen), tables)


def load(model: str, task: BossTask, device: str) -> tuple[Any, Any]:
    """A model of Hugging Face in float32 with what the task needs, and its tokenizer. A new head is drawn from seed 0.

    Raises Unavailable, with the reason, when it cannot be loaded. No pickle is read.
    """
    transformers: Any = importlib.import_module("transformers")
    try:
        config = transformers.AutoConfig.from_pretrained(model)
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        kind = "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else HEADS[task.kind]
        labels = {} if config.is_encoder_decoder or not task.labels else {"num_labels": len(task.labels)}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made = getattr(transformers, kind).from_pretrained(
                model, dtype=torch.float32, use_safetensors=True, **labels
            )  # fmt: skip
    except (OSError, ValueError, ImportError) as error:
        raise Unavailable(f"the language model {model} cannot be loaded: {error}") from error
    return made.to(device), tokenizer


def learner(model: Any, tokenizer: Any, task: BossTask, **options: Any) -> Learner:
    """What suits the model and the task. Raises Unsuited where nothing does."""
    kind = LEARNERS.get((bool(model.config.is_encoder_decoder), task.kind))
    if kind is None:
        raise Unsuited("a model that writes gives no tag to each word: take an encoder such as DeBERTa")
    return kind(model, tokenizer, task, **options)


def _table(task: BossTask, model: str, data: Path, device: str, chosen: Chosen) -> TaskTable:
    try:
        train = task.read(data, task.trained, "train", chosen.train_samples)
        sets, missing = _test_sets(task, data, chosen.test_samples)
        adapted = learner(
            *load(model, task, device), task,
            max_tokens=chosen.max_tokens, samples_per_pass=chosen.samples_per_pass,
        )  # fmt: skip
    except (MissingData, Unsuited) as reason:
        return TaskTable(task, missing={"": str(reason)})
    return TaskTable(task, {method: _row(method, adapted, train, sets, chosen) for method in chosen.methods}, missing)


def _test_sets(task: BossTask, data: Path, most: int) -> tuple[dict[str, list[Sample]], dict[str, str]]:
    sets, missing = {}, {}
    for name in (task.trained, *task.shifted):
        try:
            sets[name] = task.read(data, name, "test", most)
        except MissingData as reason:
            missing[name] = str(reason)
    return sets, missing


def _row(
    method: str, adapted: Learner, train: Sequence[Sample], sets: Mapping[str, Sequence[Sample]], chosen: Chosen
) -> Row:
    try:
        fits = list(_fits(method, adapted, train, sets, chosen))
    except (TrainingFailed, Unsuited) as reason:
        return Row(failed=str(reason))
    return Row({name: [scores[name] for scores, _ in fits] for name in sets}, fits[0][1])


def _fits(
    method: str, adapted: Learner, train: Sequence[Sample], sets: Mapping[str, Sequence[Sample]], chosen: Chosen
) -> Iterator[tuple[dict[str, float], int]]:
    """Of each seed, the scores by test set, and how many numbers were trained."""
    for seed in chosen.seeds:
        said = vars(chosen.settings) | {"seed": seed}
        said |= {"learning_rate": chosen.learning_rates.get(method, chosen.settings.learning_rate)}
        with METHODS[method](adapted, train, Settings(**said)) as trainable:
            yield {name: adapted.score(samples) for name, samples in sets.items()}, trainable


def _conditions(model: str, chosen: Chosen) -> list[str]:
    settings, rates = chosen.settings, chosen.learning_rates
    asked = ", ".join(f"{method} {rates.get(method, settings.learning_rate):g}" for method in chosen.methods)
    most = [f"{count:,} samples" if count else "all samples" for count in (chosen.train_samples, chosen.test_samples)]
    return [
        f"Model: {model}. Texts are cut after {chosen.max_tokens} tokens.",
        f"Trained on {most[0]} of each training file, tested on {most[1]} of each test file; seeds"
        f" {', '.join(map(str, chosen.seeds))}. With several seeds: the mean, and their standard deviation.",
        f"AdamW, {settings.epochs} epochs of batches of {settings.batch_size}, weight decay {settings.weight_decay:g},"
        f" no dropout. Learning rates, none of which was searched for: {asked}.",
        f"SAFT changes {settings.density:.2%} of the parameters; LoRA has rank {settings.rank}."
        " Prompts, epochs, rates and batches are choices of this project, not the paper's.",
    ]


def _cell(scores: Sequence[float]) -> str:
    if not scores:
        return ""
    mean = f"{100 * statistics.mean(scores):.2f}"
    return mean if len(scores) == 1 else f"{mean} ± {100 * statistics.stdev(scores):.2f}"


def _check(named: Sequence[str], known: Mapping[str, object], what: str) -> None:
    for name in named:
        if name not in known:
            raise InvalidConfig(f"there is no {what} {name!r}; there are {', '.join(known)}")
