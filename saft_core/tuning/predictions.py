"""Zero-shot predictions on labelled images by the base or an adapted base, image by image, so that models compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.calibration import WORDS_APART, Words
from saft_core.clip.backbone import Base
from saft_core.clip.words import words_of
from saft_core.clip.zero_shot import class_weights
from saft_core.data.limits import DataLimits
from saft_core.data.samples import Sample
from saft_core.delta import SparseDelta
from saft_core.templates import Template, each
from saft_core.tuning.costs import IMAGES
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.progress import WorkMeter

_words: dict[Base, Words] = {}
"""The words of the latest base only: another base replaces them."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions on N images. targets and predicted: class positions, int64 (N,)."""

    targets: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether the most probable class of each image is the true one, (N,)."""
        same: npt.NDArray[np.bool_] = self.predicted == self.targets
        return same

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the true one (top-1)."""
        return float(self.right.mean())

    def confusion(self, classes: int) -> npt.NDArray[np.int64]:
        """Counts, int64 (classes, classes): rows are true classes, columns the predicted ones."""
        counts = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(counts, (self.targets, self.predicted), 1)
        return counts


class EncodedImages:
    """Images to evaluate on, encoded by the base once, and again only for deltas that change image embeddings."""

    def __init__(self, base: Base, loader: PixelLoader, batch_size: int, meter: WorkMeter) -> None:
        self._base, self._loader, self._batch_size, self._meter = base, loader, batch_size, meter
        self._by_base: Tensor | None = None

    def __len__(self) -> int:
        return len(self._loader)

    @property
    def targets(self) -> Tensor:
        """Class positions, int64 (N,) on the CPU."""
        return self._loader.targets(range(len(self)))

    def embeddings(self, delta: SparseDelta | None = None) -> Tensor:
        """Unit embeddings, float32 (N, embed_dim) on the CPU, by the model as it stands now: the base, or merged with
        `delta`.

        Raises InvalidImage.
        """
        if delta is not None and self._base.flat.changes_images(delta.indices):
            return self._encode()
        if self._by_base is None:
            self._by_base = self._encode()
        return self._by_base

    @torch.inference_mode()
    def _encode(self) -> Tensor:
        parts = [torch.empty(0, self._base.embed_dim)]
        for start in range(0, len(self), self._batch_size):
            pixels, _ = self._loader.batch(range(start, min(start + self._batch_size, len(self))))
            parts.append(self._base.encode_pixels(pixels).float().cpu())
            self._meter.advance(IMAGES, len(pixels))
        return torch.cat(parts)


@torch.inference_mode()
def text_embeddings(base: Base, labels: Sequence[str], template: Template) -> Tensor:
    """Unit embeddings, float32 (labels, embed_dim) on the CPU, of the labels in their prompts."""
    return (class_weights(base, labels, template) / base.logit_scale).float().cpu()


def words_for(base: Base) -> Words:
    """Embeddings of words for what else an image may show, by the base as it stands now; cached for one base."""
    if base not in _words:
        embeddings = text_embeddings(base, words_of(base), base.defaults.template)
        _words.clear()
        _words[base] = Words.of(embeddings.numpy(), WORDS_APART)
    return _words[base]


def prompts_ahead(base: Base) -> int:
    """How many prompts the next `words_for(base)` will encode: 0 if the base's words are cached."""
    return 0 if base in _words else len(words_of(base)) * len(each(base.defaults.template))


def evaluate(
    base: Base, images: EncodedImages, labels: Sequence[str], template: Template, delta: SparseDelta | None = None
) -> Predictions:
    """Classify all images among `labels` by the model as it stands now: the base, or merged with `delta`."""
    cosines = images.embeddings(delta) @ text_embeddings(base, labels, template).T
    return Predictions(images.targets.numpy(), cosines.argmax(dim=1).numpy())


def predict(
    base: Base,
    samples: Sequence[Sample],
    labels: Sequence[str],
    template: Template,
    delta: SparseDelta,
    strength: float,
    limits: DataLimits,
    batch_size: int,
    between: Callable[[], None] = lambda: None,
) -> list[str]:
    """The most probable label of each sample, by the base merged with a delta at some strength.

    between: called after each batch.

    Raises InvalidImage, and whatever `between` raises.
    """
    loader = PixelLoader(samples, base.pixels, limits, side=base.image_side)
    images = EncodedImages(base, loader, batch_size, WorkMeter(lambda _: between()))
    with merged(base, delta, strength):
        answers = evaluate(base, images, labels, template, delta)
    return [labels[place] for place in answers.predicted.tolist()]


@contextmanager
def merged(base: Base, delta: SparseDelta, strength: float = 1.0) -> Iterator[None]:
    """Merge `strength` times the delta into the base within the context; the base is bit-identical after it."""
    device = base.device
    indices, values = torch.from_numpy(delta.indices).to(device), torch.from_numpy(delta.values).to(device)
    with base.flat.added(indices, values if strength == 1 else strength * values):
        yield
