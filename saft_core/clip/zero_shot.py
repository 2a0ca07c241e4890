"""The zero-shot head: class names become prompts, prompts become the rows of a linear classifier."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from saft_core.clip.backbone import Base
from saft_core.clip.class_names import class_name, is_the_rest
from saft_core.templates import PLACEHOLDER, Template, each

THE_REST = "something else"
TEXTS_PER_PASS = 256
_WITH_ARTICLE = re.compile(r"\b(?:an?|the)\s+\{\}", re.IGNORECASE)


def fill(template: Template, labels: Sequence[str]) -> list[str]:
    """One prompt a label, with the words that stand for it; of an ensemble, all of one template after the other's.

    A class of all that is in no other is "something else", without the template's article: no picture shows "an other".
    """
    names = [class_name(label) for label in labels]
    return [_prompt(one, name) for one in each(template) for name in names]


def prompts_by_label(template: Template, labels: Sequence[str]) -> list[str] | list[list[str]]:
    """The prompt of each label; of an ensemble, its list of prompts."""
    if isinstance(template, str):
        return fill(template, labels)
    return [fill(template, [label]) for label in labels]


def ensemble(embeddings: Tensor, template: Template) -> Tensor:
    """Unit class embeddings (classes, embed_dim) from those of the prompts of `fill`, (prompts, embed_dim).

    The mean over the templates, normalised again, as CLIP's own evaluation has it; of one template, what was given.
    """
    if isinstance(template, str):
        return embeddings
    return F.normalize(embeddings.unflatten(0, (len(template), -1)).mean(dim=0), dim=-1)


def _prompt(template: str, name: str) -> str:
    if is_the_rest(name):
        template, name = _WITH_ARTICLE.sub(PLACEHOLDER, template), THE_REST
    return template.replace(PLACEHOLDER, name)


def class_weights(base: Base, labels: Sequence[str], template: Template) -> Tensor:
    """The classifier: class embeddings times the logit scale, float32 (classes, embed_dim)."""
    prompts = fill(template, labels)
    passes = [
        base.encode_texts(prompts[start : start + TEXTS_PER_PASS]) for start in range(0, len(prompts), TEXTS_PER_PASS)
    ]
    return base.logit_scale * ensemble(torch.cat(passes), template)
