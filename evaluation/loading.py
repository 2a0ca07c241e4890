"""Labelled images as a base sees them: decoded by several threads, cached, and augmented for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.data.limits import DataLimits
from saft_core.data.samples import Sample
from saft_core.settings import Limits
from saft_core.training_options import Augment
from saft_core.tuning.augment import random_view
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.precision import passes

LIMITS = replace(DataLimits.from_attributes(Limits()), max_image_pixels=1 << 29, max_image_bytes=1 << 30)
"""One's own data sets, not strangers' uploads: their largest pictures are taken."""
IMAGES_PER_PASS = 64


class Images:
    """N labelled images, for one base: its `samples`. loader: as the product's own selection and training take them."""

    def __init__(self, base: Base, samples: Sequence[Sample]) -> None:
        self._base, self.samples = base, samples
        self.loader = PixelLoader(samples, base.pixels, LIMITS, side=base.image_side)
        self._frozen: Tensor | None = None

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def targets(self) -> Tensor:
        """Positions of their classes, int64 (N,), on the base's device."""
        return self.loader.targets(range(len(self))).to(self._base.device)

    @property
    def chunks(self) -> list[range]:
        """All positions, in parts that one pass takes."""
        starts = range(0, len(self), IMAGES_PER_PASS)
        return [range(start, min(start + IMAGES_PER_PASS, len(self))) for start in starts]

    def batch(self, positions: Sequence[int]) -> Batch:
        """Those at `positions`, whole."""
        return Batch(self, positions)

    def pixels(self, positions: Sequence[int]) -> Tensor:
        """Model input, float32 (n, 3, size, size), of whole images. Raises InvalidImage."""
        return self.loader.batch(positions)[0]

    def views(self, positions: Sequence[int], augment: Augment, draw: tuple[int, ...]) -> Tensor:
        """Model input, float32 (n, 3, size, size), of a random part of each image; the same for the same `draw`."""
        if augment == "none":
            return self.pixels(positions)
        side = self._base.image_side
        return self.loader.views(positions, lambda image, at: random_view(image, side, augment, (*draw, at)))[0]

    def freeze(self) -> None:
        """Encode all of them, once, by the base as it now stands: what `frozen` gives from here on."""
        if self._frozen is None:
            self._frozen = self.encode()

    @property
    def frozen(self) -> Tensor:
        """Unit embeddings, float32 (N, embed_dim), by the base that `freeze` saw.

        Raises RuntimeError before `freeze`: later the base may be an adapted one.
        """
        if self._frozen is None:
            raise RuntimeError("these images were not encoded while the base was the base")
        return self._frozen

    @torch.no_grad()
    def encode(self) -> Tensor:
        """Unit embeddings, float32 (N, embed_dim), by the base as it now stands."""
        with passes(self._base.device):
            parts = [self._base.encode_pixels(self.pixels(chunk)).float() for chunk in self.chunks]
        return torch.cat(parts) if parts else torch.empty(0, self._base.embed_dim, device=self._base.device)


class Batch:
    """Some of `Images`: n of them, whose pixels are read when they are asked for."""

    def __init__(self, images: Images, positions: Sequence[int]) -> None:
        self._images, self._positions = images, list(positions)

    @property
    def pixels(self) -> Tensor:
        """Model input, float32 (n, 3, size, size)."""
        return self._images.pixels(self._positions)

    @property
    def frozen(self) -> Tensor:
        """Unit embeddings by the base before it was adapted, float32 (n, embed_dim)."""
        return self._images.frozen[self._positions]
