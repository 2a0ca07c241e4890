"""Words for what an image may show instead of the labels that are asked about."""

from __future__ import annotations

from open_clip import IMAGENET_CLASSNAMES

from saft_core.clip.backbone import Base
from saft_core.clip.labels import Tokens, check_texts
from saft_core.clip.zero_shot import fill
from saft_core.errors import InvalidInput


def words_of(base: Base) -> tuple[str, ...]:
    """The class names of ImageNet that the base reads whole in its own template, each once."""
    found: dict[Tokens, str] = {}
    for word, prompt in zip(IMAGENET_CLASSNAMES, fill(base.defaults.template, IMAGENET_CLASSNAMES), strict=True):
        try:
            (tokens,) = check_texts(base, [prompt])
        except InvalidInput:
            continue
        found.setdefault(tokens, word)
    return tuple(found.values())
