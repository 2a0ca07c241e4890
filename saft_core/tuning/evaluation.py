"""What a model answers on images that were not trained on, image by image, so that two models can be compared."""

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
"""Those of the latest base that was asked for."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Answers on N images. targets and predicted: class positions, int64 (N,)."""

    targets: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Of each image, (N,), whether its most probable class is the true one."""
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
    """Images to measure on, encoded anew only where a delta changes how they are seen."""

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
        """Unit embeddings, float32 (N, embed_dim) on the CPU, by the model as it stands now: with `delta`, or the base.

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
    """What else a picture may show, by the base as it is; the latest base's are kept."""
    if base not in _words:
        embeddings = text_embeddings(base, words_of(base), base.defaults.template)
        _words.clear()
        _words[base] = Words.of(embeddings.numpy(), WORDS_APART)
    return _words[base]


def prompts_ahead(base: Base) -> int:
    """How many prompts `words_for` still has to encode."""
    return 0 if base in _words else len(words_of(base)) * len(each(base.defaults.template))


def evaluate(
    base: Base, images: EncodedImages, labels: Sequence[str], template: Template, delta: SparseDelta | None = None
) -> Evaluation:
    """Classify all images against all `labels` with the model as it stands now: with `delta`, or the base."""
    cosines = images.embeddings(delta) @ text_embeddings(base, labels, template).T
    return Evaluation(images.targets.numpy(), cosines.argmax(dim=1).numpy())


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
    """The most probable label of each sample, by the base with a delta at some strength. Calls `between` after a batch.

    Raises InvalidImage, and whatever `between` raises.
    """
    loader = PixelLoader(samples, base.pixels, limits, side=base.image_side)
    images = EncodedImages(base, loader, batch_size, WorkMeter(lambda _: between()))
    with applied(base, delta, strength):
        answers = evaluate(base, images, labels, template, delta)
    return [labels[place] for place in answers.predicted.tolist()]


@contextmanager
def applied(base: Base, delta: SparseDelta, strength: float = 1.0) -> Iterator[None]:
    """The model adapted by `strength` times the delta within the context, the base bit by bit after it."""
    device = base.device
    indices, values = torch.from_numpy(delta.indices).to(device), torch.from_numpy(delta.values).to(device)
    with base.flat.added(indices, values if strength == 1 else strength * values):
        yield
