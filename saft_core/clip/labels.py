"""What a base can read: texts that fit into its context, and class names that it can tell apart.

A tokenizer cuts what is too long without a word, and before that it may lower capitals, drop blanks, resolve HTML
entities and bring Unicode into one form (open_clip's own does all of it). Two class names are therefore compared by the
tokens of their prompts and never as text.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Sequence
from typing import Any

from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import fill
from saft_core.errors import InvalidInput
from saft_core.templates import Template, each

Tokens = tuple[int, ...]

_ONE_MORE_WORD = " x"
_LOCK = threading.Lock()
"""Hugging Face's tokenizers switch cutting on and off in place, so no two threads may use one at a time."""


def check_texts(base: Base, texts: Sequence[str], field: str = "text") -> list[Tokens]:
    """The tokens of each text, those that mark its start and end included; `field` opens the error's message.

    Raises InvalidInput with code `text_too_long` (its details: text, tokens, max_tokens) where the base would read only
    a part of a text, and `reserved_text` where a text holds a word by which the tokenizer marks a start or an end.
    """
    if isinstance(base.tokenize, SimpleTokenizer):
        return _words_of_clip(base.tokenize, texts, field)
    with _LOCK:
        tokenize = _own(base.tokenize)
        if isinstance(tokenize, HFTokenizer) and not tokenize.tokenizer_mode:
            return _words_of_hugging_face(tokenize, texts, field)
        return _rows_that_end(tokenize, texts, field)


def check_labels(base: Base, labels: Sequence[str], template: Template, field: str = "labels") -> None:
    """Raise InvalidInput unless the base reads the whole prompt of every label, and another one for each.

    Of an ensemble that holds for every template.

    Codes: those of `check_texts`, `empty_label` where a label adds nothing to the template, and `labels_alike` (its
    details: labels, prompts) where two prompts have the same tokens: no training tells such classes apart.
    """
    for one in each(template):
        _check_prompts(base, labels, one, field)


def _check_prompts(base: Base, labels: Sequence[str], template: str, field: str) -> None:
    prompts = fill(template, labels)
    *read, nothing = check_texts(base, [*prompts, *fill(template, [""])], field)
    first: dict[Tokens, int] = {}
    for position, tokens in enumerate(read):
        if tokens == nothing:
            raise InvalidInput(
                f"{field}: {labels[position]!r} holds nothing that the base reads. Name the class in words.",
                code="empty_label",
            )
        same = first.setdefault(tokens, position)
        if same != position:
            raise _alike(field, [labels[same], labels[position]], [prompts[same], prompts[position]])


def _words_of_clip(tokenize: SimpleTokenizer, texts: Sequence[str], field: str) -> list[Tokens]:
    reserved = set(tokenize.all_special_ids)
    read = [tokenize.encode(text) for text in texts]
    for text, tokens in zip(texts, read, strict=True):
        if reserved.intersection(tokens):  # CLIP reads up to the first end token, which may come of the written word
            raise InvalidInput(
                f"{field}: {text!r} holds a word that marks the start or the end of a text, such as <end_of_text>."
                " Leave it out.",
                code="reserved_text",
            )
    return _within([(tokenize.sot_token_id, *tokens, tokenize.eot_token_id) for tokens in read], tokenize, texts, field)


def _words_of_hugging_face(tokenize: HFTokenizer, texts: Sequence[str], field: str) -> list[Tokens]:
    cleaned = [tokenize.clean_fn(text) for text in texts]
    rows = tokenize.tokenizer(cleaned, truncation=False, verbose=False).input_ids
    return _within([tuple(row) for row in rows], tokenize, texts, field)


def _within(read: list[Tokens], tokenize: Any, texts: Sequence[str], field: str) -> list[Tokens]:
    """The tokens as they are. Raises InvalidInput if some text has more than the tokenizer would leave."""
    limit: int = tokenize.context_length
    for text, tokens in zip(texts, read, strict=True):
        if len(tokens) > limit:
            raise _too_long(field, text, len(tokens), limit)
    return read


@functools.lru_cache(maxsize=8)
def _own(tokenize: Any) -> Any:
    """A copy for the checks: the model's own is in use by whoever runs the model."""
    return copy.deepcopy(tokenize)


def _rows_that_end(tokenize: Any, texts: Sequence[str], field: str) -> list[Tokens]:
    """The rows of an unknown tokenizer. A text is taken for cut if one more word changes nothing: its end is not read.

    That refuses a text that just fills the context, too.
    """
    rows, longer = tokenize(list(texts)).tolist(), tokenize([text + _ONE_MORE_WORD for text in texts]).tolist()
    for text, row, more in zip(texts, rows, longer, strict=True):
        if row == more:
            raise _too_long(field, text, len(row), len(row) - 1)
    return [tuple(row) for row in rows]


def _too_long(field: str, text: str, tokens: int, limit: int) -> InvalidInput:
    return InvalidInput(
        f"{field}: {text!r} has {tokens} tokens; the base reads at most {limit} (its context length), the start and the"
        " end of the text included. Shorten it.",
        code="text_too_long",
        text=text,
        tokens=tokens,
        max_tokens=limit,
    )


def _alike(field: str, labels: list[str], prompts: list[str]) -> InvalidInput:
    return InvalidInput(
        f"{field}: the base reads {labels[0]!r} and {labels[1]!r} alike: the prompts {prompts[0]!r} and {prompts[1]!r}"
        " have the same tokens. Merge the two classes or rename one.",
        code="labels_alike",
        labels=labels,
        prompts=prompts,
    )
