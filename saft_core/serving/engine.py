"""The engine: sole owner of the base's weights while serving.

Callers prepare their images in threads of their own; their rows meet in batches, and one thread (passes.py) runs these
through the base by the route that costs least (forward.py). The base is bit-identical whenever that thread has nothing
to do, after failed batches too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from saft_core.clip.backbone import Base, Picture
from saft_core.clip.labels import check_texts
from saft_core.delta.class_embeddings import ClassEmbeddings
from saft_core.errors import Unavailable
from saft_core.process import available_cpus
from saft_core.serving.adapters import BASE, LoadedAdapter, ModelKey, StoredAdapter, load_adapter
from saft_core.serving.batcher import STOPPING, BatchLimits, Work
from saft_core.serving.cache import ByteBoundedCache
from saft_core.serving.classifiers import Classifiers
from saft_core.serving.compiled_towers import Compilation
from saft_core.serving.encoder import IMAGE, TEXT
from saft_core.serving.forward import KINDS, Part
from saft_core.serving.passes import Passes, collect, result
from saft_core.serving.tower_graph import Precision
from saft_core.sparse.batch_delta import Row
from saft_core.templates import Template

FloatArray = npt.NDArray[np.float32]
AdapterId = str | None
"""An adapter's id; None is the base itself."""
_Input = TypeVar("_Input")

STUCK_SECONDS = 300.0
"""A batch that runs for so long is taken for one that will never end."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Of N pictures and L labels, float32.

    probabilities, cosines: a softmax over the labels, and each by itself, (N, L). embeddings: the pictures', of unit
    length, (N, embed_dim).
    """

    probabilities: FloatArray
    cosines: FloatArray
    embeddings: FloatArray


class _Model(NamedTuple):
    """What stands for a model in a batch, and the class embeddings that are stored with its adapter."""

    key: ModelKey
    row: Row
    stored: ClassEmbeddings | None


@dataclass(frozen=True)
class EngineLimits:
    """cache_bytes holds decoded adapters; deadline_seconds is how long one call may take if it does not say.

    threads: of one forward; 0 is all CPUs that this process may use. compiled_bytes: memory for compiled image towers,
    where OpenVINO is installed; 0 is none. compiled_precision: what these compute in.
    """

    cache_bytes: int = 512 << 20
    deadline_seconds: float = 60.0
    threads: int = 0
    compiled_bytes: int = 0
    compiled_precision: Precision = "float32"
    batch: BatchLimits = field(default_factory=BatchLimits)


class Engine:
    """Answers for the base and for any adapter that `load` knows; safe for any number of threads.

    Every call takes `strength` in [0, 1]: 0 is the base, 1 the adapter, between is the interpolation of the weights
    (WiSE-FT, arXiv 2109.01903). Every call may raise Busy, DeadlinePassed and Unavailable. Whose share of the engine it
    takes is told by `CLIENT` (shares.py).

    load: from an adapter's id to its delta and class embeddings; raises NotFound for an unknown one, which reaches the
    caller: an unknown adapter is never answered by the base. An id must stand for the same adapter for ever. It is
    called in a thread of its own, before the request has rows in the queue.
    """

    def __init__(
        self,
        base: Base,
        load: Callable[[str], StoredAdapter],
        limits: EngineLimits | None = None,
        *,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.base = base
        self.limits = limits or EngineLimits()
        compilation = Compilation(self.limits.compiled_bytes, self.limits.compiled_precision, self.threads)
        self.passes = Passes(base, self.limits.batch, compilation, self.threads, observe)
        self._load = load
        self._adapters: ByteBoundedCache[str, LoadedAdapter] = ByteBoundedCache(
            self.limits.cache_bytes, lambda adapter: adapter.nbytes
        )
        # Read while nobody writes: later the weights may at any moment be those of an adapter.
        _ = base.fingerprint
        self._classifiers = Classifiers(base, self.limits.batch, self._embed_texts, self.limits.deadline_seconds)
        # One thread each: torch's own threads would multiply with these and take the cores from the forward.
        self._preparers = ThreadPoolExecutor(available_cpus(), "saft-prepare", lambda: torch.set_num_threads(1))

    def classify(
        self,
        adapter_id: AdapterId,
        images: Sequence[Picture],
        labels: tuple[str, ...],
        template: Template,
        *,
        strength: float = 1.0,
        temperature: float = 1.0,
        deadline: float | None = None,
    ) -> Answers:
        """How each of `labels` fits each picture; `temperature` divides the logits.

        Raises InvalidInput for labels that the base cannot read or tell apart (clip/labels.py).
        """
        deadline = self._deadline(deadline)
        with self._model(adapter_id, strength, deadline) as (key, row, stored):
            weights = self._classifiers.get(key, row, labels, template, deadline, stored)
            features = self._embed_images(key, row, images, deadline)
        with torch.inference_mode():
            logits = features @ weights.T
            cosines = logits / weights.norm(dim=1)
            tempered = logits if temperature == 1 else logits / temperature
            return Answers(_to_numpy(tempered.softmax(dim=1)), _to_numpy(cosines), _to_numpy(features))

    def embed_images(
        self,
        adapter_id: AdapterId,
        images: Sequence[Picture],
        *,
        strength: float = 1.0,
        deadline: float | None = None,
    ) -> FloatArray:
        """Unit embeddings of pictures, float32 (images, embed_dim)."""
        deadline = self._deadline(deadline)
        with self._model(adapter_id, strength, deadline) as (key, row, _):
            return _to_numpy(self._embed_images(key, row, images, deadline))

    def embed_labels(
        self,
        adapter_id: AdapterId,
        labels: tuple[str, ...],
        template: Template,
        *,
        strength: float = 1.0,
        deadline: float | None = None,
    ) -> FloatArray:
        """Unit embeddings of the labels, float32 (labels, embed_dim), as `classify` uses and keeps them.

        Raises InvalidInput for labels that the base cannot read or tell apart (clip/labels.py).
        """
        deadline = self._deadline(deadline)
        with self._model(adapter_id, strength, deadline) as (key, row, stored), torch.inference_mode():
            weights = self._classifiers.get(key, row, labels, template, deadline, stored)
            return _to_numpy(weights / weights.norm(dim=1, keepdim=True))

    def embed_texts(
        self, adapter_id: AdapterId, texts: Sequence[str], *, strength: float = 1.0, deadline: float | None = None
    ) -> FloatArray:
        """Unit embeddings of texts as they stand, float32 (texts, embed_dim). Raises InvalidInput for one too long."""
        check_texts(self.base, texts)
        deadline = self._deadline(deadline)
        with self._model(adapter_id, strength, deadline) as (key, row, _):
            return _to_numpy(self._embed_texts(key, row, texts, deadline))

    def weights(self, start: int, stop: int, deadline: float | None = None) -> Tensor:
        """The base's own parameter entries `start` to `stop` of its flat buffer, a copy on the CPU.

        Taken between two batches, in the engine's thread: at any other moment they may be those of an adapter. Ask for
        some ten million at most, for everybody waits for the copy.
        """
        return self.passes.weights(start, stop, self._deadline(deadline))

    def prepare(self, image: Image.Image, deadline: float | None = None) -> Tensor:
        """What every call takes in the picture's place, so that the picture itself need not wait for a batch."""
        return self._in_preparers(self.base.preprocess, image, self._deadline(deadline))

    def warm_up(self) -> None:
        """Check both routes on this machine, which compiles their loops. Call it before the first request.

        By one thread, since these passes are small: two took three times the CPU time beside others on the same cores.
        And by one that ends, so that torch's threads behind it end with it.
        """
        with ThreadPoolExecutor(1, "saft-warm-up", lambda: torch.set_num_threads(1)) as thread:
            for kind in KINDS:
                thread.submit(self.passes.forward.mixes, kind).result()

    def calibrate(self) -> Future[None]:
        """`Passes.calibrate`."""
        return self.passes.calibrate()

    @property
    def threads(self) -> int:
        """CPU threads of one pass."""
        return self.limits.threads or available_cpus()

    @property
    def healthy(self) -> bool:
        """Whether requests are taken and the batch under way, if any, still has a chance to end."""
        return self.passes.batcher.open and self.passes.batcher.busy_seconds < STUCK_SECONDS

    def close(self, drain_seconds: float = 0.0) -> None:
        """Take no more requests, answer those that wait for up to `drain_seconds`, and fail the rest."""
        self.passes.batcher.close(drain_seconds)
        self.passes.forward.close()
        self._preparers.shutdown(wait=False)

    def counters(self) -> Mapping[str, int]:
        """What happened since the start: `delta_hits`, `delta_loads` ..., `class_weights_hits` ..., `rows_mixed` ..."""
        groups = {"delta": self._adapters.counters, "class_weights": self._classifiers.counters}
        caches = {f"{group}_{name}": count for group, c in groups.items() for name, count in asdict(c).items()}
        routes = {f"rows_{route}": count for route, count in self.passes.forward.rows_by_route.items()}
        compiled, batcher = self.passes.forward.compiled, self.passes.batcher
        towers = {"compiled_loads": compiled.loads, "compiled_bytes": compiled.nbytes}
        return caches | routes | towers | {"loop_failures": batcher.failures, "waiting_rows": batcher.waiting_rows}

    # In the callers' threads

    def _deadline(self, given: float | None) -> float:
        return time.monotonic() + self.limits.deadline_seconds if given is None else given

    @contextmanager
    def _model(self, adapter_id: AdapterId, strength: float, deadline: float) -> Iterator[_Model]:
        """The adapter stays in memory while the context is open."""
        if adapter_id is None or strength == 0:
            kept = self._adapters.peek(adapter_id) if adapter_id is not None else None
            yield _Model(BASE, Row(None), kept.class_embeddings if kept else None)
            return
        with self._adapters.pinned(
            adapter_id, lambda: load_adapter(self._load(adapter_id), self.base.flat), deadline
        ) as adapter:
            yield _Model((adapter_id, strength), Row(adapter.delta, strength), adapter.class_embeddings)

    def _embed_images(self, key: ModelKey, row: Row, images: Sequence[Picture], deadline: float) -> Tensor:
        size = self.limits.batch.max_rows
        works: list[Work[Part, Tensor]] = []
        with self.passes.batcher.announced() as come:
            for start in range(0, len(images), size):
                pixels = self._in_preparers(self.base.pixels, images[start : start + size], deadline)
                works += self.passes.submit(IMAGE, Part(key, row, pixels), deadline)
            come()
            return collect(works)

    def _in_preparers(self, work: Callable[[_Input], Tensor], given: _Input, deadline: float) -> Tensor:
        try:
            future = self._preparers.submit(work, given)
        except RuntimeError as error:  # the pool is shut down
            raise Unavailable(STOPPING) from error
        return result(future, deadline)

    def _embed_texts(self, key: ModelKey, row: Row, texts: Sequence[str], deadline: float) -> Tensor:
        return collect(self.passes.submit(TEXT, Part(key, row, list(texts)), deadline))


def _to_numpy(values: Tensor) -> FloatArray:
    array: FloatArray = values.float().cpu().numpy()
    return array
