"""The shared CLIP: an open_clip model, how it wants its pixels and words, and who it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from saft_core.clip import image_tower, prompts
from saft_core.clip.blueprint import Blueprint
from saft_core.clip.fingerprint import activations, fingerprint, preprocessing
from saft_core.clip.flat import FlatParameters, IndexArray
from saft_core.training_options import TrainingDefaults

Picture = Image.Image | Tensor
"""An RGB image, or what a base's `preprocess` made of it: float32 (3, size, size)."""


@dataclass(frozen=True)
class Card:
    """What is said of a base for people. suits: what it is good for and what not; embedded: it comes along."""

    suits: str | None = None
    embedded: bool = False


class Base:
    """A CLIP model in evaluation mode, its parameters in one flat buffer.

    Evaluation mode also holds during training: batch-norm statistics are the base's and belong to no tenant.

    blueprint: what open_clip built the model from; None where something else did.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Callable[[Image.Image], Tensor],
        tokenize: Callable[[Sequence[str]], Tensor],
        *,
        name: str,
        defaults: TrainingDefaults | None = None,
        device: torch.device | str = "cpu",
        blueprint: Blueprint | None = None,
        card: Card | None = None,
    ) -> None:
        self.name = name
        self.card = card or Card()
        self.blueprint = blueprint
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.preprocess = preprocess
        self.tokenize = tokenize
        self.defaults = defaults or TrainingDefaults()
        self.flat = FlatParameters(self.model)
        self._memory_format = image_tower.memory_format(self.model)

    @property
    def parameter_count(self) -> int:
        """D, the number of parameters."""
        return len(self.flat)

    @cached_property
    def embed_dim(self) -> int:
        """Length of an embedding."""
        return int(self.encode_texts(["x"]).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that decides the base's answers; see `fingerprint.py`.

        Two bases with one fingerprint give the same answers, so a delta of the one fits the other.
        """
        return fingerprint(self.model, self.tokenize, self.flat.sha256())

    def describe(self) -> str:
        """For people, one line: what the base is and how it is fed; a wrong guess there shows in no other way."""
        pixels = ", ".join(f"{key} {value}" for key, value in preprocessing(self.model).items() if value is not None)
        return (
            f"{self.name} ({self.fingerprint[:12]}) on {self.device}: {self.parameter_count:,} parameters,"
            f" {' and '.join(activations(self.model))}, images {pixels or 'as given'}"
        )

    def count_by_block(self, indices: IndexArray) -> list[dict[str, Any]]:
        """Entries and selected entries of each block; see `FlatParameters.count_by_block`."""
        return self.flat.count_by_block(indices)

    @cached_property
    def image_side(self) -> int:
        """The longer side of the model's input, in pixels."""
        return max(self.preprocess(Image.new("RGB", (64, 64))).shape[1:])

    def pixels(self, images: Sequence[Picture]) -> Tensor:
        """Pictures to model input: float32 of shape (N, 3, size, size) on the base's device."""
        ready = [image if isinstance(image, Tensor) else self.preprocess(image) for image in images]
        return torch.stack(ready).to(self.device)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Unit image embeddings, float32 (N, embed_dim), of `pixels` float32 (N, 3, size, size)."""
        return image_tower.encode(self.model, pixels.contiguous(memory_format=self._memory_format))

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit text embeddings, float32 (N, embed_dim). Words beyond the context are cut: see labels.check_texts."""
        return self.encode_tokens(self.tokens(texts))

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Tokens, int64 (N, L), L being the length of the longest text where the model allows it."""
        return prompts.cut(self.model, self.tokenize(list(texts)).to(self.device))

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Unit text embeddings, float32 (N, embed_dim), of what `tokens` gave."""
        return prompts.encode(self.model, tokens)

    @property
    def logit_scale(self) -> Tensor:
        """The factor on cosine similarities: CLIP's learned inverse temperature, a scalar tensor."""
        scale: Tensor = self.model.logit_scale.exp().reshape(())  # type: ignore[operator]
        return scale
