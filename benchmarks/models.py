"""Models to time: real shapes with random weights, and the embedded base; data of their size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import open_clip
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.loading import load_base
from saft_core.tuning.loaders import PixelLoader

EMBEDDED = "embedded"
MODELS = ("ViT-B-32", "ViT-B-16", EMBEDDED)
TEMPLATE = "a photo of a {}."
BATCH_SIZE = 32
WORDS = [
    "cat",
    "dog",
    "lion",
    "tiger",
    "horse",
    "sheep",
    "cow",
    "goat",
    "duck",
    "swan",
    "owl",
    "eagle",
    "whale",
    "shark",
    "crab",
    "ant",
    "bee",
    "fly",
    "moth",
    "frog",
]
KINDS = ("", "red ", "wild ", "young ", "painted ")


def make_base(model: str, device: str = "cpu") -> Base:
    """The embedded base, or an open_clip model with weights drawn from seed 0."""
    if model == EMBEDDED:
        return load_base("", device)
    torch.manual_seed(0)
    made, _, preprocess = open_clip.create_model_and_transforms(model, pretrained=None)
    return Base(made, preprocess, open_clip.get_tokenizer(model), name=model, device=device)


def labels(classes: int) -> tuple[str, ...]:
    """So many different class names of one or two words."""
    return tuple([kind + word for kind in KINDS for word in WORDS][:classes])


class RandomImages(PixelLoader):
    """A loader of noise, `count` images of `classes` classes in turn, in the base's own size."""

    def __init__(self, base: Base, count: int, classes: int) -> None:
        super().__init__([], base.pixels, limits=None)  # type: ignore[arg-type]
        size = base.model.visual.image_size  # type: ignore[union-attr]
        height, width = size if isinstance(size, tuple) else (size, size)
        generator = torch.Generator().manual_seed(1)
        self._all = torch.randn(count, 3, height, width, generator=generator).to(base.device)
        self._classes = classes

    def __len__(self) -> int:
        return len(self._all)

    def batch(self, positions: object) -> tuple[Tensor, Tensor]:
        """The noise at `positions`."""
        at = list(positions)  # type: ignore[call-overload]
        return self._all[at], self.targets(at).to(self._all.device)

    def targets(self, positions: Iterable[int]) -> Tensor:
        """Classes in turn."""
        return torch.tensor(list(positions)) % self._classes


def endless_batches(loader: PixelLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of BATCH_SIZE, round and round."""
    while True:
        for start in range(0, len(loader) - BATCH_SIZE + 1, BATCH_SIZE):
            yield loader.batch(range(start, start + BATCH_SIZE))
