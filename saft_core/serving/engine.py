"""The engine: sole owner of the base's weights while serving.

Route *swap*: under one lock, write the adapter's entries into the flat buffer, run the forward, copy the originals
back. The answer is bit-equal to the fine-tuned model's, and the base is bit-identical after every request, failed ones
too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import class_weights, logits
from saft_core.delta import SparseDelta
from saft_core.errors import InvalidDelta
from saft_core.serving.cache import ByteBoundedCache

FloatArray = npt.NDArray[np.float32]
AdapterId = str | None
"""An adapter's id; None is the base itself."""

IMAGES_PER_PASS = 64
CLASS_WEIGHT_CACHE_BYTES = 64 << 20


class Engine:
    """Answers for the base and for any adapter that `load` knows.

    load: from an adapter's id to its delta; raises NotFound for an unknown one, which reaches the caller: an unknown
    adapter is never answered by the base. An id must stand for the same delta for ever.
    """

    def __init__(self, base: Base, load: Callable[[str], SparseDelta], *, cache_bytes: int) -> None:
        self.base = base
        self._load = load
        self._weights_lock = threading.Lock()
        self._deltas: ByteBoundedCache[str, tuple[Tensor, Tensor]] = ByteBoundedCache(cache_bytes, _pair_bytes)
        self._classifiers: ByteBoundedCache[tuple[AdapterId, tuple[str, ...], str], Tensor] = ByteBoundedCache(
            CLASS_WEIGHT_CACHE_BYTES, lambda weights: weights.nbytes
        )

    def class_probabilities(
        self, adapter_id: AdapterId, images: Sequence[Image.Image], labels: tuple[str, ...], template: str
    ) -> FloatArray:
        """Softmax over `labels` for each RGB image, float32 (images, labels)."""
        delta = self._delta(adapter_id)
        weights = self._classifiers.get(
            (adapter_id, labels, template), lambda: self._class_weights(delta, labels, template)
        )
        return self._run(delta, images, lambda pixels: logits(self.base, pixels, weights).softmax(dim=1))

    def embed_images(self, adapter_id: AdapterId, images: Sequence[Image.Image]) -> FloatArray:
        """Unit embeddings of RGB images, float32 (images, embed_dim)."""
        return self._run(self._delta(adapter_id), images, self.base.encode_pixels)

    @torch.inference_mode()
    def embed_texts(self, adapter_id: AdapterId, texts: Sequence[str]) -> FloatArray:
        """Unit embeddings of texts as they stand, float32 (texts, embed_dim)."""
        with self._adapted(self._delta(adapter_id)):
            return _to_numpy(self.base.encode_texts(texts))

    def counters(self) -> dict[str, int]:
        """Cache counters, named `delta_hits`, `delta_loads` ... and `class_weights_hits` ..."""
        groups = {"delta": self._deltas.counters, "class_weights": self._classifiers.counters}
        return {f"{group}_{name}": count for group, c in groups.items() for name, count in asdict(c).items()}

    def _delta(self, adapter_id: AdapterId) -> tuple[Tensor, Tensor] | None:
        if adapter_id is None:
            return None
        return self._deltas.get(adapter_id, lambda: self._to_device(self._load(adapter_id)))

    def _to_device(self, delta: SparseDelta) -> tuple[Tensor, Tensor]:
        if len(delta) and delta.indices[-1] >= self.base.parameter_count:
            raise InvalidDelta("the delta reaches beyond the base's parameters")
        device = self.base.device
        return torch.from_numpy(delta.indices).to(device), torch.from_numpy(delta.values).to(device)

    @contextmanager
    def _adapted(self, delta: tuple[Tensor, Tensor] | None) -> Iterator[None]:
        """Exclusive use of the weights with `delta` in them."""
        with self._weights_lock:
            if delta is None:
                yield
            else:
                with self.base.flat.added(*delta):
                    yield

    @torch.inference_mode()
    def _class_weights(self, delta: tuple[Tensor, Tensor] | None, labels: tuple[str, ...], template: str) -> Tensor:
        with self._adapted(delta):
            return class_weights(self.base, labels, template)

    @torch.inference_mode()
    def _run(
        self,
        delta: tuple[Tensor, Tensor] | None,
        images: Sequence[Image.Image],
        forward: Callable[[Tensor], Tensor],
    ) -> FloatArray:
        """`forward` over the images in passes of bounded size; pixels are prepared outside the lock."""
        results: list[FloatArray] = []
        for start in range(0, len(images), IMAGES_PER_PASS):
            pixels = self.base.pixels(images[start : start + IMAGES_PER_PASS])
            with self._adapted(delta):
                results.append(_to_numpy(forward(pixels)))
        return np.concatenate(results)


def _pair_bytes(pair: tuple[Tensor, Tensor]) -> int:
    return pair[0].nbytes + pair[1].nbytes


def _to_numpy(values: Tensor) -> FloatArray:
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)
