"""How a label reads in a prompt: people name folders `hot_dog`, `02_AnnualCrop` or `ice-cream`, CLIP was taught words.

The one place where that is decided: an upload, a job and `/classify` all fill their templates by it, so a label means
the same wherever it comes from.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

_LETTER = r"[^\W\d_]"
_NUMBERING = re.compile(rf"(?:0\d*[\s._)-]+|\d+[.)]\s*)(?={_LETTER})")
"""`02_cat`, `001.cat`, `3) cat`: a number that sorts. `2 euro`, `3.5 inch` and `7up` say something."""
_HYPHEN = re.compile(rf"(?<={_LETTER}{{2}})-(?={_LETTER}{{2}})")
"""Between words, as in `golden-retriever`. That of `t-shirt` or `x-ray` is part of one."""
_LEAST_PART = 3
"""Letters of each part of `AnnualCrop`. With fewer it is a name: `McDonald`, `iPhone`, `LaTeX`."""

_THE_REST = {"background", "none of the above", "none of these", "other", "others", "something else", "unknown"}


def is_the_rest(name: str) -> bool:
    """Whether a class name means all that is in no other class: nothing looks like "a none of these"."""
    return name.casefold() in _THE_REST


def class_name(label: str) -> str:
    """The words that stand for `label` in a prompt; empty if nothing of it is one.

    HTML entities and full-width forms are resolved, a leading number that only sorts is left out, underscores and
    hyphens between words become blanks, CamelCase falls into its words, and blanks are single. Capitals stay: what they
    mean is up to the base's tokenizer, and most know none.
    """
    text = _of_usual_width(html.unescape(label)).strip()
    text = _HYPHEN.sub(" ", _NUMBERING.sub("", text, count=1) if _NUMBERING.match(text) else text)
    return " ".join(part for word in text.replace("_", " ").split() for part in _words(word))


def same_class(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Each of `names` and the one of `known` that reads like it, whatever the capitals; itself if none does."""
    read = {class_name(label).casefold(): label for label in known}
    return {name: read.get(class_name(name).casefold(), name) for name in names}


def _of_usual_width(text: str) -> str:
    """With letters in place of their full- or half-width forms; x² stays, for it is not x2."""
    wide = (unicodedata.east_asian_width(character) in "FH" for character in text)
    folded = (unicodedata.normalize("NFKC", c) if is_wide else c for c, is_wide in zip(text, wide, strict=True))
    return unicodedata.normalize("NFC", "".join(folded))


def _words(word: str) -> list[str]:
    """The parts of CamelCase, or the word."""
    borders = [0, *(i for i, (a, b) in enumerate(pairwise(word), 1) if a.islower() and b.isupper()), len(word)]
    parts = [word[start:end] for start, end in pairwise(borders)]
    plain = all(len(part) >= _LEAST_PART and part.isalpha() and part[1:].islower() for part in parts)
    return parts if plain else [word]
