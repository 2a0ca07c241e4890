"""Labelled samples to batches of model input, each image decoded once where memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from saft_core.data.images import decode_image
from saft_core.data.limits import DataLimits
from saft_core.data.samples import Sample
from saft_core.data.threads import in_threads
from saft_core.errors import InvalidImage

DEFAULT_CACHE_BYTES = 1 << 30
_Made = TypeVar("_Made")


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
        each = self._each(self._cache, positions, self._one, lambda pixels: pixels.nbytes)
        pixels = torch.stack(each)
        return pixels, self.targets(positions).to(pixels.device)

    def views(self, positions: Sequence[int], view: Callable[[Image.Image, int], Image.Image]) -> tuple[Tensor, Tensor]:
        """As `batch`, of what `view(image, position)` makes of each decoded image, RGB.

        Decoded images stay in memory as pixels do, so that each is decoded once where memory allows.
        """
        images = self._each(self._decoded, positions, self._decode, _image_bytes)
        pixels = self._pixels([view(image, position) for image, position in zip(images, positions, strict=True)])
        return pixels, self.targets(positions).to(pixels.device)

    def targets(self, positions: Sequence[int]) -> Tensor:
        """The labels alone, int64 (len(positions),), on the CPU."""
        return torch.tensor([self._samples[position].label for position in positions])

    def _each(
        self,
        kept: dict[int, _Made],
        positions: Sequence[int],
        make: Callable[[int], _Made],
        size: Callable[[_Made], int],
    ) -> list[_Made]:
        """The cached value for each position; what is missing is made in threads, and cached while there is room."""
        missing = [position for position in dict.fromkeys(positions) if position not in kept]
        made = dict(zip(missing, in_threads(make, missing), strict=True))
        for position, one in made.items():
            if size(one) <= self._free_bytes:
                self._free_bytes -= size(one)
                kept[position] = one
        return [made[position] if position in made else kept[position] for position in positions]

    def _one(self, position: int) -> Tensor:
        return self._pixels([self._decode(position)])[0]

    def _decode(self, position: int) -> Image.Image:
        sample = self._samples[position]
        try:
            return decode_image(sample.read(), self._limits, self._side)
        except InvalidImage as error:
            raise InvalidImage(f"{sample.path}: {error.message}", code=error.error_code, where=sample.path) from error


def _image_bytes(image: Image.Image) -> int:
    return image.width * image.height * len(image.getbands())
