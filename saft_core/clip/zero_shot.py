"""The zero-shot head: class names become prompts, prompts become the rows of a linear classifier."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.class_names import class_name, is_the_rest

PLACEHOLDER = "{}"
THE_REST = "something else"
TEXTS_PER_PASS = 256
_WITH_ARTICLE = re.compile(r"\b(?:an?|the)\s+\{\}", re.IGNORECASE)


def fill(template: str, labels: Sequence[str]) -> list[str]:
    """One prompt a label, with the words that stand for it.

    A class of all that is in no other is "something else", without the template's article: no picture shows "an other".
    """
    return [_prompt(template, class_name(label)) for label in labels]


def _prompt(template: str, name: str) -> str:
    if is_the_rest(name):
        template, name = _WITH_ARTICLE.sub(PLACEHOLDER, template), THE_REST
    return template.replace(PLACEHOLDER, name)


def class_weights(base: Base, labels: Sequence[str], template: str) -> Tensor:
    """The classifier: prompt embeddings times the logit scale, float32 (classes, embed_dim)."""
    prompts = fill(template, labels)
    passes = [
        base.encode_texts(prompts[start : start + TEXTS_PER_PASS]) for start in range(0, len(prompts), TEXTS_PER_PASS)
    ]
    return base.logit_scale * torch.cat(passes)


def logits(base: Base, pixels: Tensor, weights: Tensor) -> Tensor:
    """Class logits, float32 (N, classes), of `pixels` float32 (N, 3, size, size)."""
    return base.encode_pixels(pixels) @ weights.T
