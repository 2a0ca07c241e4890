"""Class prompts, encoded once a step, in chunks that bound the memory of their backward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import ensemble, fill
from saft_core.templates import Template

TOKENS_PER_CHUNK = 4096
"""Text tokens whose activations are kept for the backward pass at once: about 1.5 GB with ViT-B/32's text tower."""


class ClassPrompts:
    """The prompts of a set of classes, and the class embeddings as a leaf tensor of the loss.

    One chunk of prompts is encoded with its graph. Several chunks are encoded without, and `backward` encodes each of
    them again to carry its part of the gradient (gradient checkpointing), so any number of classes needs the memory
    of one chunk.
    """

    def __init__(
        self, base: Base, labels: Sequence[str], template: Template, *, tokens_per_chunk: int = TOKENS_PER_CHUNK
    ) -> None:
        self._base, self._labels, self._template = base, labels, template
        self._tokens = base.tokens(fill(template, labels))
        self._chunk = max(1, tokens_per_chunk // self._tokens.shape[1])
        self._chunks = self._tokens.split(self._chunk)
        self._graph: Tensor | None = None
        self._embeddings = torch.empty(0)
        self._constant: Tensor | None = None

    def __len__(self) -> int:
        return len(self._labels)

    def encode(self) -> Tensor:
        """Unit embeddings (classes, embed_dim) by the current weights, as a leaf tensor that collects its gradient.

        Where no trained entry changes them they are computed at the first call only.
        """
        if self._constant is not None:
            return self._constant
        if not torch.is_grad_enabled():
            return self._classes(self._encode_all())
        if len(self._chunks) == 1:
            encoded = self._classes(self._base.encode_tokens(self._tokens))
            self._graph = encoded if encoded.requires_grad else None
            varies = encoded.requires_grad
        else:
            varies = self._varies()
            with torch.no_grad():
                self._embeddings = self._encode_all()
                encoded = self._classes(self._embeddings)
        leaf = encoded.detach()
        if not varies:
            self._constant = leaf
            return leaf
        return leaf.requires_grad_()

    def backward(self, leaf: Tensor) -> None:
        """Backpropagate the gradient of `leaf`, the latest result of `encode`, into the weights."""
        if leaf.grad is None:
            return
        if self._graph is not None:
            graph, self._graph = self._graph, None
            graph.backward(leaf.grad)
            return
        gradients = self._of_prompts(leaf.grad).split(self._chunk)
        for tokens, gradient in zip(self._chunks, gradients, strict=True):
            self._base.encode_tokens(tokens).backward(gradient)

    def _classes(self, embeddings: Tensor) -> Tensor:
        return ensemble(embeddings, self._template)

    def _of_prompts(self, gradient: Tensor) -> Tensor:
        """The gradient of the prompts, (prompts, embed_dim), from that of the classes, (classes, embed_dim)."""
        embeddings = self._embeddings.requires_grad_()
        return torch.autograd.grad(self._classes(embeddings), embeddings, gradient)[0]

    def _encode_all(self) -> Tensor:
        return torch.cat([self._base.encode_tokens(tokens) for tokens in self._chunks])

    def _varies(self) -> bool:
        return self._base.encode_tokens(self._tokens[:1]).requires_grad
