"""Tiny random T5 and DeBERTa, a tokenizer of whole words and of halves, and BOSS's files by hand."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch

from evaluation.language.boss import TASKS

SPECIAL = ("<pad>", "</s>", "<unk>", "<s>")
WORDS = (
    "it was good bad fine film food the a of in lives works at made by who is where and not very"
    " sentiment : toxicity premise hypothesis question context negative positive neutral benign toxic"
    " entailment contradiction ann bob carl paris rome oslo acme initech"
)


def _transformers() -> Any:
    """Loaded where it is needed: it is an extra."""
    return importlib.import_module("transformers")


def tokenizer() -> Any:
    """Of whole words; long ones are two tokens, so that a word's first token is not all of it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: PLC0415

    pieces = {piece for word in WORDS.split() for piece in ((word,) if len(word) < 6 else (word[:4], f"##{word[4:]}"))}
    vocabulary = {token: place for place, token in enumerate([*SPECIAL, *sorted(pieces)])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return _transformers().PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def t5(seed: int = 0, *, gated: bool = False) -> Any:
    """Two layers each way, one embedding for both ends and the output; gated as in its version 1.1."""
    transformers = _transformers()
    torch.manual_seed(seed)
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=len(tokenizer()), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, dropout_rate=0.1,
            relative_attention_num_buckets=8, decoder_start_token_id=0,
            pad_token_id=0, eos_token_id=1, feed_forward_proj="gated-gelu" if gated else "relu",
        )
    )  # fmt: skip


def deberta(kind: str, labels: int = 2, seed: int = 0) -> Any:
    """As DeBERTa-v3 is built: relative positions that share the keys' projections, and padding in row 0."""
    transformers = _transformers()
    torch.manual_seed(seed)
    config = transformers.DebertaV2Config(
        vocab_size=len(tokenizer()), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        relative_attention=True, position_buckets=4, max_relative_positions=-1, pos_att_type=["p2c", "c2p"],
        share_att_key=True, norm_rel_ebd="layer_norm", type_vocab_size=0, position_biased_input=False,
        hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, pad_token_id=0, num_labels=labels,
        max_position_embeddings=64, pooler_hidden_size=16,
    )  # fmt: skip
    return getattr(transformers, f"DebertaV2For{kind}")(config)


TEXTS = {
    "SA": ["Text\tLabel", "it was bad\t0", "it was good\t1", "the film was fine\t2", "good food\t1", "bad film\t0"],
    "TD": ["Text\tLabel", "it was fine\t0", "bob is very bad\t1", "good food\t0", '"a bad, ""bad""\tfilm"\t1'],
    "NLI": ["Premise\tHypothesis\tLabel", "the food was bad\tit was not good\t0", "ann lives in rome\tit was fine\t1",
            "it was good\tit was bad\t2"],
}  # fmt: skip
SENTENCES = """ann\tB-person
lives\tO
in\tO
paris\tB-location

bob\tB-person
works\tO
at\tO
initech\tB-organization
"""
QUESTIONS = [
    ("where is ann", "ann lives in Paris and bob in rome", ["Paris"], [13]),
    ("who works at acme", "Carl works at acme", ["carl b", "Carl"], ["Carl"]),
    ("who made the film", "the film was made by bob", ["bob"], [21]),
]


def files(root: Path) -> Path:
    """BOSS's folders, all of them; the shifted sets are the trained ones, the last of each is missing."""
    for task in TASKS.values():
        for name in (task.trained, *task.shifted[:-1]):
            folder = root / task.folder / name
            folder.mkdir(parents=True)
            for part in ("train", "test") if name == task.trained else ("test",):
                path = folder / f"{part}.{'json' if task.kind == 'span' else 'tsv'}"
                path.write_text(_content(task.name), encoding="utf-8")
    return root


def _content(task: str) -> str:
    if task == "NER":
        return SENTENCES
    if task == "EQA":
        return "".join(
            json.dumps({"id": "0", "title": "", "question": question, "context": context,
                        "answers": {"text": answers, "answer_start": starts}}) + "\n"
            for question, context, answers, starts in QUESTIONS
        )  # fmt: skip
    return "\n".join(TEXTS[task]) + "\n"
