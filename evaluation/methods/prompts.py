"""Prompts whose context is learned: before a class name stand vectors in place of the embeddings of words.

Shared by CoOp, CoCoOp and MaPLe. All of them start from the words "a photo of a", as the base-to-new protocol has it,
end with the class name and a full stop, and take no other template.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock, TextTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from evaluation.methods.method import Unsuited
from saft_core.clip.backbone import Base
from saft_core.clip.class_names import class_name, is_the_rest
from saft_core.clip.prompts import POOLED_AT_A_TOKEN
from saft_core.clip.zero_shot import THE_REST
from saft_core.tuning.class_prompts import TOKENS_PER_CHUNK
from saft_core.tuning.precision import passes

WORDS = "a photo of a"
WEIGHT_DECAY = 5e-4
"""In the published settings of all three. It pulls what is learned to zero, not to the words it started from."""


class LearnedPrompts:
    """The prompts of classes for one base, each "start, context, the rest of the words, class name, end".

    learned: how many tokens of the words give way to the context, n; all of them unless said otherwise.
    A class of all that is in no other is "something else", as in `fill`; the article stays, being part of the context.
    Raises Unsuited where the text tower takes no vectors in place of words.
    """

    def __init__(
        self,
        base: Base,
        labels: Sequence[str],
        learned: int | None = None,
        *,
        tokens_per_pass: int = TOKENS_PER_CHUNK,
    ) -> None:
        self._tower, words = _text_tower(base)
        self._device = base.device
        self._end = 1 + (words if learned is None else learned)
        self._tokens = base.tokens([f"{WORDS} {_name(label)}." for label in labels])
        self._classes = min(len(labels), max(1, tokens_per_pass // self._tokens.shape[1]))
        self._images = max(1, tokens_per_pass // (self._classes * self._tokens.shape[1]))

    @property
    def words(self) -> Tensor:
        """The embeddings of the words that the context replaces, float32 (n, width): what it starts from."""
        with torch.no_grad():
            return self._tower.token_embedding(self._tokens[0, 1 : self._end]).float()  # type: ignore[no-any-return]

    @property
    def blocks(self) -> int:
        """How many blocks the text tower has."""
        return len(self._tower.transformer.resblocks)

    def encode(self, contexts: Tensor, deeper: Sequence[Tensor] = ()) -> Tensor:
        """Unit embeddings (images, classes, embed_dim) under each of `contexts` (images, n, width).

        deeper: what the second block and those after it see in place of the context, (n, width) each.
        Where one pass would hold too many tokens none keeps its activations: each is computed anew in `backward`.
        """
        images, classes = contexts.split(self._images), self._tokens.split(self._classes)
        at_once = len(images) == len(classes) == 1 or not torch.is_grad_enabled()
        one_pass = self._encode if at_once else self._recomputed
        return torch.cat([torch.cat([one_pass(some, tokens, *deeper) for tokens in classes], dim=1) for some in images])

    def _recomputed(self, contexts: Tensor, tokens: Tensor, *deeper: Tensor) -> Tensor:
        encoded: Tensor = checkpoint(
            self._encode,
            contexts,
            tokens,
            *deeper,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), passes(self._device)),
        )
        return encoded

    def _encode(self, contexts: Tensor, tokens: Tensor, *deeper: Tensor) -> Tensor:
        """One pass: (b, c, embed_dim) of `contexts` (b, n, width) and `tokens` (c, L)."""
        tower, length = self._tower, tokens.shape[1]
        words = tower.token_embedding(tokens).to(tower.transformer.get_cast_dtype())
        x = words.expand(len(contexts), -1, -1, -1)
        x = _replaced(x, contexts[:, None], 1, self._end) + tower.positional_embedding[:length].to(x.dtype)
        x = self._pooled(x.flatten(0, 1), _ends(tower, tokens).repeat(len(contexts)), deeper)
        x = F.normalize(_projected(tower.text_projection, tower.ln_final(x)), dim=-1)
        return x.reshape(len(contexts), len(tokens), -1)

    def _pooled(self, x: Tensor, ends: Tensor, deeper: Sequence[Tensor]) -> Tensor:
        """What all blocks make of the tokens (N, width) at `ends` (N,) of `x` (N, L, width)."""
        mask, length = self._tower.attn_mask, x.shape[1]
        mask = None if mask is None else mask[:length, :length].to(x.dtype)
        *blocks, last = self._tower.transformer.resblocks
        for number, block in enumerate(blocks):
            x = block(self._prompted(x, number, deeper), attn_mask=mask)
        x = self._prompted(x, len(blocks), deeper)
        if type(last) is ResidualAttentionBlock:
            return _one_token(last, x, ends, mask)
        return last(x, attn_mask=mask)[torch.arange(len(x)), ends]  # type: ignore[no-any-return]

    def _prompted(self, x: Tensor, number: int, deeper: Sequence[Tensor]) -> Tensor:
        """What the block of this number sees."""
        return _replaced(x, deeper[number - 1], 1, self._end) if 0 < number <= len(deeper) else x


def _one_token(block: Any, x: Tensor, ends: Tensor, mask: Tensor | None) -> Tensor:
    """What `block` makes of one token of each text: the others are keys and values only, a third of the work."""
    rows = torch.arange(len(x), device=x.device)
    tokens = block.ln_1(x)
    unseen = None if mask is None else mask[ends]
    mixed = block.attn(tokens[rows, ends][:, None], tokens, tokens, need_weights=False, key_padding_mask=unseen)[0]
    x = x[rows, ends] + block.ls_1(mixed[:, 0])
    return x + block.ls_2(block.mlp(block.ln_2(x)))  # type: ignore[no-any-return]


def count(learned: nn.Module) -> int:
    """How many numbers it has."""
    return sum(parameter.numel() for parameter in learned.parameters())


def _name(label: str) -> str:
    name = class_name(label)
    return THE_REST if is_the_rest(name) else name


def _replaced(x: Tensor, by: Tensor, start: int, end: int) -> Tensor:
    """`x` (..., L, width) with `by` (..., end - start, width) at the tokens from `start` to `end`."""
    by = by.to(x.dtype).expand(*x.shape[:-2], -1, -1)
    return torch.cat([x[..., :start, :], by, x[..., end:, :]], dim=-2)


def _text_tower(base: Base) -> tuple[Any, int]:
    """The text tower of `base`, and how many tokens the words have."""
    model: Any = base.model
    tower = model.text if isinstance(model, CustomTextCLIP) else model
    if not isinstance(tower, CLIP | TextTransformer):
        raise Unsuited(f"its text tower is a {type(tower).__name__}, none of open_clip's own, and takes no vectors")
    if isinstance(tower, TextTransformer) and tower.cls_emb is not None:
        raise Unsuited("its text tower reads a class token behind the words, which learned prompts have not")
    if _pooling(tower)[0] not in POOLED_AT_A_TOKEN:
        raise Unsuited(f"its text tower pools {_pooling(tower)[0]!r}, not at the end of a text")
    if not isinstance(base.tokenize, SimpleTokenizer):
        raise Unsuited("its tokenizer is not CLIP's: a context belongs between a start token and the class name")
    return tower, len(base.tokenize.encode(WORDS))


def _ends(tower: Any, tokens: Tensor) -> Tensor:
    """Where the token lies that stands for a text, int64 (N,), in `tokens` (N, L)."""
    pooling, end = _pooling(tower)
    return (tokens if pooling == "argmax" else (tokens == end).int()).argmax(dim=1)


def _pooling(tower: Any) -> tuple[str, int]:
    """How a text is pooled, and the token that "eos" means."""
    if isinstance(tower, CLIP):
        return tower.text_pool_type, tower.text_eos_id
    return tower.pool_type, tower.eos_id


def _projected(projection: Any, x: Tensor) -> Tensor:
    if projection is None:
        return x
    return projection(x) if isinstance(projection, nn.Linear) else x @ projection  # type: ignore[no-any-return]
