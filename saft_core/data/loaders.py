"""Labelled samples as model input, decoded once where memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from saft_core.data.images import decode_image
from saft_core.data.limits import DataLimits
from saft_core.data.samples import Sample

DEFAULT_CACHE_BYTES = 1 << 30


class PixelLoader:
    """Batches of (pixels, targets) by position.

    Preprocessed pixels stay in memory up to `cache_bytes`; beyond that they are decoded anew each time, so a set of any
    size can be trained on. `side` is what `decode_image` takes: the base's `image_side`, as in serving.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        pixels: Callable[[Sequence[Image.Image]], Tensor],
        limits: DataLimits,
        *,
        side: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        self._samples = samples
        self._pixels = pixels
        self._limits = limits
        self._side = side
        self._cache: dict[int, Tensor] = {}
        self._decoded: dict[int, Image.Image] = {}
        self._free_bytes = cache_bytes

    def __len__(self) -> int:
        return len(self._samples)

    def batch(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pixels, float32 (len(positions), 3, size, size), and targets, int64 (len(positions),).

        Raises InvalidImage naming the file that cannot be read.
        """
        pixels = torch.stack([self._one(position) for position in positions])
        return pixels, self.targets(positions).to(pixels.device)

    def views(self, positions: Sequence[int], view: Callable[[Image.Image, int], Image.Image]) -> tuple[Tensor, Tensor]:
        """As `batch`, of what `view(image, position)` makes of each decoded image, RGB.

        Decoded images stay in memory as pixels do, so that each is decoded once where memory allows.
        """
        pixels = self._pixels([view(self._image(position), position) for position in positions])
        return pixels, self.targets(positions).to(pixels.device)

    def targets(self, positions: Sequence[int]) -> Tensor:
        """The labels alone, int64 (len(positions),), on the CPU."""
        return torch.tensor([self._samples[position].label for position in positions])

    def _one(self, position: int) -> Tensor:
        cached = self._cache.get(position)
        if cached is not None:
            return cached
        pixels = self._pixels([self._decode(position)])[0]
        if pixels.nbytes <= self._free_bytes:
            self._free_bytes -= pixels.nbytes
            self._cache[position] = pixels
        return pixels

    def _image(self, position: int) -> Image.Image:
        image = self._decoded.get(position)
        if image is None:
            image = self._decode(position)
            size = image.width * image.height * len(image.getbands())
            if size <= self._free_bytes:
                self._free_bytes -= size
                self._decoded[position] = image
        return image

    def _decode(self, position: int) -> Image.Image:
        return decode_image(self._samples[position].read(), self._limits, self._side)
