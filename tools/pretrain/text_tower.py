"""The text tower: one transformer block, taught to put each phrase, in whatever sentence, at its place.

Only the end-of-text token is read, so only its query is computed. With one query q the block's attention is linear in
the tokens up to the softmax: q . (W_k x) is (W_k^T q) . x, and a weighted mean of values is W_v of the weighted mean.
So no token is multiplied by a matrix, and a step costs what a bag of words would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from tools.pretrain.drawings import cosine_schedule
from tools.pretrain.phrases import Phrases
from tools.pretrain.stages import Checkpoint
from tools.pretrain.teacher import Teacher

TEMPLATES = (
    "{}", "{}", "a {}", "a {}.", "the {}.", "a photo of a {}.", "a photo of a {}.", "a photo of a {}.",
    "a photo of the {}.", "a photo of {}.", "a picture of a {}.", "an image of a {}.", "a drawing of a {}.",
    "a sketch of a {}.", "a painting of a {}.", "a cartoon {}.", "a kind of {}.", "an icon of a {}.",
    "an emoji of a {}.", "a close-up photo of a {}.", "this is a {}.", "a photo of a {}, on a plain background.",
    "a blurry photo of a {}.", "a bad photo of a {}.", "a good photo of a {}.", "a photo of a small {}.",
    "a photo of a large {}.", "a toy {}.", "a {} symbol",
)  # fmt: skip
SPREAD = 4.0
"""How much the mean over the tokens weighs beside the end-of-text token at the start."""
START_RIDGE = 30.0


@dataclass(frozen=True)
class TextConfig:
    """How the text tower learns. `shares`: how often a phrase of each origin is drawn."""

    steps: int = 3000
    batch_size: int = 512
    learning_rate: float = 2e-3
    matrix_rate: float = 5e-4
    scale: float = 30.0
    alike: float = 0.97
    shares: tuple[float, ...] = (0.37, 0.1, 0.28, 0.2, 0.05)
    seed: int = 0


def encode(model: CLIP, tokens: Tensor) -> Tensor:
    """Unit embeddings (N, width) of tokens int64 (N, L): `model.encode_text` for one block, by the way above."""
    return F.normalize(pooled(model, tokens) @ model.text_projection, dim=1)


def pooled(model: CLIP, tokens: Tensor) -> Tensor:
    """What the projection is given, (N, D)."""
    block = model.transformer.resblocks[0]
    rows, ends = torch.arange(len(tokens)), tokens.argmax(1)
    x = model.token_embedding(tokens) + model.positional_embedding[: tokens.shape[1]]
    last, normed = x[rows, ends], block.ln_1(x)
    last = last + _attend(block.attn, normed[rows, ends], normed, ends)
    last = last + block.mlp(block.ln_2(last))
    features: Tensor = model.ln_final(last)
    return features


def _attend(attention: nn.MultiheadAttention, query: Tensor, tokens: Tensor, ends: Tensor) -> Tensor:
    """Attention of one query a row, (N, D), over its tokens (N, L, D) up to and with the one at `ends` (N,)."""
    heads, width = attention.num_heads, attention.embed_dim
    w_q, w_k, w_v = (part.view(heads, -1, width) for part in attention.in_proj_weight.chunk(3))
    b_q, _, b_v = attention.in_proj_bias.chunk(3)
    q = torch.einsum("nd,hed->nhe", query, w_q) + b_q.view(heads, -1)
    scores = torch.einsum("nhe,hed,nld->nhl", q, w_k, tokens) / math.sqrt(width // heads)
    later = torch.arange(tokens.shape[1]) > ends[:, None]
    shares = scores.masked_fill(later[:, None], float("-inf")).softmax(-1)
    values = torch.einsum("nhd,hed->nhe", shares @ tokens, w_v).flatten(1) + b_v
    return attention.out_proj(values)  # type: ignore[no-any-return]


class Sentences:
    """Phrases in random sentences, as tokens."""

    def __init__(self, tokenizer: SimpleTokenizer, phrases: Sequence[str]) -> None:
        self._start, self._end = tokenizer.sot_token_id, tokenizer.eot_token_id
        self._most = int(tokenizer.context_length or 0)
        self._phrases = [tokenizer.encode(phrase) for phrase in phrases]
        self._templates = [tuple(map(tokenizer.encode, template.split("{}"))) for template in TEMPLATES]

    def tokens(self, rows: Sequence[int], templates: Sequence[int]) -> Tensor:
        """int64 (N, L), padded with zeros behind the end-of-text token, as wide as the longest needs."""
        sentences = []
        for row, template in zip(rows, templates, strict=True):
            before, after = self._templates[template]
            inner = [*before, *self._phrases[row], *after][: self._most - 2]
            sentences.append([self._start, *inner, self._end])
        width = max(map(len, sentences))
        return torch.tensor([sentence + [0] * (width - len(sentence)) for sentence in sentences])


@torch.no_grad()
def start(model: CLIP, tokenizer: SimpleTokenizer, teacher: Teacher, phrases: Phrases) -> None:
    """Make the block a mean over the tokens' meanings, and the projection the best for that, by ridge regression."""
    pieces = [tokenizer.decoder[i].replace("</w>", "") or " " for i in range(tokenizer.vocab_size)]
    meanings = teacher.embed(pieces)
    centred = meanings - meanings.mean(0)
    width = model.token_embedding.embedding_dim
    embedding = torch.zeros(len(pieces), width)
    embedding[:, : centred.shape[1]] = centred / centred.std() * 0.1
    model.token_embedding.weight.copy_(embedding)
    model.positional_embedding.zero_()
    block, eye = model.transformer.resblocks[0], torch.eye(width)
    block.attn.in_proj_weight[width:] = torch.cat([torch.zeros(width, width), eye])
    block.attn.in_proj_bias.zero_()
    block.attn.out_proj.weight.copy_(SPREAD * eye)
    block.attn.out_proj.bias.zero_()
    block.mlp.c_proj.weight.zero_()
    block.mlp.c_proj.bias.zero_()
    sentences = Sentences(tokenizer, phrases.texts)
    parts = (range(first, min(first + 1024, len(phrases.texts))) for first in range(0, len(phrases.texts), 1024))
    bags = torch.cat([pooled(model, sentences.tokens(rows, [2] * len(rows))) for rows in parts])
    gram = bags.T @ bags + START_RIDGE * torch.eye(width)
    model.text_projection.copy_(torch.linalg.solve(gram, bags.T @ phrases.places))


def teach(
    model: CLIP,
    tokenizer: SimpleTokenizer,
    phrases: Phrases,
    config: TextConfig,
    checkpoint: Path,
    report: Callable[[str], None],
) -> None:
    """Train the text tower's parameters in place."""
    sentences = Sentences(tokenizer, phrases.texts)
    origin = np.array(phrases.origin)
    pools = [np.flatnonzero(origin == kind) for kind in range(len(config.shares))]
    optimizer = _optimizer(model, config)
    kept = Checkpoint(checkpoint, model=model, optimizer=optimizer)
    for step in range(kept.resume(), config.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * cosine_schedule(step, config.steps, 30)
        rng = np.random.default_rng((config.seed, step))
        kinds = rng.choice(len(pools), config.batch_size, p=config.shares)
        rows = sorted({int(rng.choice(pools[kind])) for kind in kinds})
        embeddings = encode(model, sentences.tokens(rows, rng.integers(len(TEMPLATES), size=len(rows)).tolist()))
        loss, close = _loss(embeddings, phrases.places[rows], config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        kept.after(step)
        if step % 100 == 0 or step == config.steps - 1:
            report(f"step {step}: loss {loss:.3f}, cosine {close:.3f}")


def _loss(embeddings: Tensor, targets: Tensor, config: TextConfig) -> tuple[Tensor, Tensor]:
    """Each at its place, and nearer to it than to the others' places, but for places that are all but the same."""
    similarity = embeddings @ targets.T
    alike = (targets @ targets.T > config.alike).fill_diagonal_(False)
    close = similarity.diagonal().mean()
    logits = (config.scale * similarity).masked_fill(alike, float("-inf"))
    return 2 * (1 - close) + F.cross_entropy(logits, torch.arange(len(embeddings))), close.detach()


def _optimizer(model: CLIP, config: TextConfig) -> torch.optim.Optimizer:
    """Rows of the embedding learn fast, the matrices, which all phrases share, slowly."""
    text = {name: p for name, p in model.named_parameters() if not name.startswith("visual.") and name != "logit_scale"}
    embedding = text.pop("token_embedding.weight")
    projection = text.pop("text_projection")
    return torch.optim.AdamW(
        [
            {"params": [embedding, projection], "base": config.learning_rate, "weight_decay": 0.0},
            {"params": list(text.values()), "base": config.matrix_rate, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        fused=True,
    )
