"""The engine: sole owner of the base's weights while serving.

Callers prepare their images in threads of their own; their rows meet in batches (batcher.py), and one thread runs these
through the base by the route that costs least (forward.py). The base is bit-identical whenever that thread has nothing
to do, after failed batches too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from saft_core.clip.backbone import Base, Picture
from saft_core.clip.labels import check_labels, check_texts
from saft_core.clip.zero_shot import ensemble, fill
from saft_core.delta import SparseDelta
from saft_core.errors import Busy, DeadlinePassed, Unavailable
from saft_core.process import available_cpus
from saft_core.serving.batcher import STOPPING, BatchLimits, MicroBatcher, Work
from saft_core.serving.cache import ByteBoundedCache
from saft_core.serving.costs import short_rows, short_seconds
from saft_core.serving.forward import IMAGE, KINDS, TEXT, Forward, Part
from saft_core.serving.shares import CLIENT
from saft_core.sparse.batch_delta import Row
from saft_core.sparse.loaded_delta import LoadedDelta, load_delta
from saft_core.templates import Template

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]
AdapterId = str | None
"""An adapter's id; None is the base itself."""
_Work = Work[Part, Tensor]
_Input = TypeVar("_Input")

CLASS_WEIGHT_CACHE_BYTES = 64 << 20
_NO_MORE = object()
ENTRY_BYTES = 1024
"""What the cache needs for an entry beside its weights, and more."""
WEIGHTS = "weights"
"""The kind of work that reads the base's own weights; it is no pass."""
TURN_BATCHES = 4
TURN_SECONDS = 0.02
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


@dataclass(frozen=True)
class EngineLimits:
    """cache_bytes holds decoded adapters; deadline_seconds is how long one call may take if it does not say.

    threads: of one forward; 0 is all CPUs that this process may use.
    """

    cache_bytes: int = 512 << 20
    deadline_seconds: float = 60.0
    threads: int = 0
    batch: BatchLimits = field(default_factory=BatchLimits)


class Engine:
    """Answers for the base and for any adapter that `load` knows; safe for any number of threads.

    Every call takes `strength` in [0, 1]: 0 is the base, 1 the adapter, between is the interpolation of the weights
    (WiSE-FT, arXiv 2109.01903). Every call may raise Busy, DeadlinePassed and Unavailable. Whose share of the engine it
    takes is told by `CLIENT` (shares.py).

    load: from an adapter's id to its delta; raises NotFound for an unknown one, which reaches the caller: an unknown
    adapter is never answered by the base. An id must stand for the same delta for ever.
    """

    def __init__(
        self,
        base: Base,
        load: Callable[[str], SparseDelta],
        limits: EngineLimits | None = None,
        *,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.base = base
        self.limits = limits or EngineLimits()
        self.observe = observe
        self.forward = Forward(base)
        self.batcher: MicroBatcher[Part, Tensor] = MicroBatcher(
            self._run,
            self.limits.batch,
            seconds=self._seconds,
            joins=self._joins,
            on_start=self._use_threads,
            on_idle=self._rest,
        )
        self._calibration: Iterator[None] = iter(())
        self._load = load
        self._deltas: ByteBoundedCache[str, LoadedDelta] = ByteBoundedCache(
            self.limits.cache_bytes, lambda delta: delta.nbytes
        )
        self._classifiers: ByteBoundedCache[tuple[AdapterId, float, bytes], Tensor] = ByteBoundedCache(
            CLASS_WEIGHT_CACHE_BYTES, lambda weights: weights.nbytes + ENTRY_BYTES
        )
        # Read while nobody writes: later the weights may at any moment be those of an adapter.
        _ = base.fingerprint
        self._log_scale, self._scale_slot = _logit_scale(base)
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
        with self._model(adapter_id, strength, deadline) as (key, row):
            weights = self._classifier(key, row, labels, template, deadline)
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
        with self._model(adapter_id, strength, deadline) as (key, row):
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
        with self._model(adapter_id, strength, deadline) as (key, row), torch.inference_mode():
            weights = self._classifier(key, row, labels, template, deadline)
            return _to_numpy(weights / weights.norm(dim=1, keepdim=True))

    def embed_texts(
        self, adapter_id: AdapterId, texts: Sequence[str], *, strength: float = 1.0, deadline: float | None = None
    ) -> FloatArray:
        """Unit embeddings of texts as they stand, float32 (texts, embed_dim). Raises InvalidInput for one too long."""
        check_texts(self.base, texts)
        deadline = self._deadline(deadline)
        with self._model(adapter_id, strength, deadline) as (key, row):
            return _to_numpy(self._embed_texts(key, row, texts, deadline))

    def weights(self, start: int, stop: int, deadline: float | None = None) -> Tensor:
        """The base's own parameter entries `start` to `stop` of its flat buffer, a copy on the CPU.

        Taken between two batches, in the engine's thread: at any other moment they may be those of an adapter. Ask for
        some ten million at most, for everybody waits for the copy.
        """
        part = Part((None, 1.0), Row(None), range(start, stop))
        work: _Work = Work(WEIGHTS, 0, part, self._deadline(deadline), CLIENT.get().share)
        return _collect([self.batcher.submit(work)])

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
                thread.submit(self.forward.mixes, kind).result()

    def calibrate(self) -> Future[None]:
        """Measure what a pass costs by each route, whenever there is nothing else to do; the future is its end.

        Until then every route answers, but not always the one that costs least.
        """
        done: Future[None] = Future()
        self._calibration = self._calibrated(done)
        self.batcher.rest()
        return done

    @property
    def threads(self) -> int:
        """CPU threads of one pass."""
        return self.limits.threads or available_cpus()

    @property
    def healthy(self) -> bool:
        """Whether requests are taken and the batch under way, if any, still has a chance to end."""
        return self.batcher.open and self.batcher.busy_seconds < STUCK_SECONDS

    def close(self, drain_seconds: float = 0.0) -> None:
        """Take no more requests, answer those that wait for up to `drain_seconds`, and fail the rest."""
        self.batcher.close(drain_seconds)
        self._preparers.shutdown(wait=False)

    def counters(self) -> Mapping[str, int]:
        """What happened since the start: `delta_hits`, `delta_loads` ..., `class_weights_hits` ..., `rows_mixed` ..."""
        groups = {"delta": self._deltas.counters, "class_weights": self._classifiers.counters}
        caches = {f"{group}_{name}": count for group, c in groups.items() for name, count in asdict(c).items()}
        routes = {f"rows_{route}": count for route, count in self.forward.rows_by_route.items()}
        return caches | routes | {"loop_failures": self.batcher.failures, "waiting_rows": self.batcher.waiting_rows}

    # In the callers' threads

    def _deadline(self, given: float | None) -> float:
        return time.monotonic() + self.limits.deadline_seconds if given is None else given

    @contextmanager
    def _model(
        self, adapter_id: AdapterId, strength: float, deadline: float
    ) -> Iterator[tuple[tuple[AdapterId, float], Row]]:
        """What stands for the model in a batch; the adapter stays in memory while the context is open."""
        if adapter_id is None or strength == 0:
            yield (None, 1.0), Row(None)
            return
        with self._deltas.pinned(
            adapter_id, lambda: load_delta(self._load(adapter_id), self.base.flat), deadline
        ) as delta:
            yield (adapter_id, strength), Row(delta, strength)

    def _embed_images(
        self, key: tuple[AdapterId, float], row: Row, images: Sequence[Picture], deadline: float
    ) -> Tensor:
        size = self.limits.batch.max_rows
        works: list[_Work] = []
        with self.batcher.announced() as come:
            for start in range(0, len(images), size):
                pixels = self._in_preparers(self.base.pixels, images[start : start + size], deadline)
                works += self._submit(IMAGE, Part(key, row, pixels), deadline)
            come()
            return _collect(works)

    def _in_preparers(self, work: Callable[[_Input], Tensor], given: _Input, deadline: float) -> Tensor:
        try:
            future = self._preparers.submit(work, given)
        except RuntimeError as error:  # the pool is shut down
            raise Unavailable(STOPPING) from error
        return _result(future, deadline)

    def _embed_texts(self, key: tuple[AdapterId, float], row: Row, texts: Sequence[str], deadline: float) -> Tensor:
        return _collect(self._submit(TEXT, Part(key, row, list(texts)), deadline))

    def _classifier(
        self, key: tuple[AdapterId, float], row: Row, labels: tuple[str, ...], template: Template, deadline: float
    ) -> Tensor:
        return self._classifiers.get(
            (*key, digest(labels, template)), lambda: self._class_weights(key, row, labels, template), deadline
        )

    def _class_weights(
        self, key: tuple[AdapterId, float], row: Row, labels: tuple[str, ...], template: Template
    ) -> Tensor:
        """The classifier: class embeddings times the model's logit scale, float32 (classes, embed_dim).

        It has the time of a call that names none: several may wait for it, each with a deadline of its own.
        """
        check_labels(self.base, labels, template)
        prompts, deadline, turn = fill(template, labels), self._deadline(None), self._turn
        parts = [self._embed_texts(key, row, prompts[:turn], deadline)]
        starts = range(turn, len(prompts), turn)
        parts += [self._in_turn(key, row, prompts[start : start + turn], deadline) for start in starts]
        with torch.inference_mode():
            return self._scale_of(row).exp() * ensemble(torch.cat(parts), template)

    @property
    def _turn(self) -> int:
        """How many prompts one call has in the queue at a time, so that those of others come between them."""
        batch = self.limits.batch
        return max(batch.max_rows, min(TURN_BATCHES * batch.max_rows, batch.queue_rows // 2))

    def _in_turn(self, key: tuple[AdapterId, float], row: Row, texts: Sequence[str], deadline: float) -> Tensor:
        """Texts of a call whose first ones were taken: where too much waits they wait, and what is done is not lost."""
        while True:
            try:
                return self._embed_texts(key, row, texts, deadline)
            except Busy:
                if time.monotonic() >= deadline:
                    raise DeadlinePassed from None
                time.sleep(TURN_SECONDS)

    def _scale_of(self, row: Row) -> Tensor:
        """The model's own logit scale, before `exp`."""
        delta = row.delta
        if delta is None or delta.bounds[self._scale_slot] == delta.bounds[self._scale_slot + 1]:
            return self._log_scale
        entry = int(delta.bounds[self._scale_slot])
        return self._log_scale + delta.scaled(row.strength)[entry].cpu()

    def _submit(self, kind: str, part: Part, deadline: float) -> list[_Work]:
        """Queue the rows of a part, in pieces so small that a short pass takes one: between them others may come."""
        share, size = CLIENT.get().share, short_rows(self.forward.costs[kind], self.limits.batch.max_rows)
        pieces = [replace(part, inputs=part.inputs[start : start + size]) for start in range(0, len(part), size)]
        works: list[_Work] = [Work(kind, len(piece), piece, deadline, share) for piece in pieces]
        self.batcher.submit_all(works)
        return works

    def _seconds(self, kind: str, rows: int) -> float:
        """What a piece takes of the engine's time."""
        return 0.0 if kind == WEIGHTS else self.forward.costs[kind].forward_seconds(rows)

    # In the engine's thread

    def _joins(self, batch: Sequence[_Work], work: _Work) -> bool:
        """Whether it is the first row of its share, or the pass is still short with it.

        So many shares that ask for little fill a pass together, and one that asks for much cannot.
        """
        if work.kind == WEIGHTS or (work.rows == 1 and all(one.share != work.share for one in batch)):
            return True
        allowed = short_seconds(self.forward.costs[work.kind], self.limits.batch.max_rows)
        return self.forward.seconds(work.kind, [one.payload for one in (*batch, work)]) <= allowed

    def _use_threads(self) -> None:
        torch.set_num_threads(self.threads)

    def _rest(self) -> bool:
        """Make the base itself again, then measure one pass, if there is any to measure; whether there was."""
        self.forward.unmerge()
        return next(self._calibration, _NO_MORE) is not _NO_MORE

    def _calibrated(self, done: Future[None]) -> Iterator[None]:
        try:
            for kind in KINDS:
                yield from self.forward.calibration(kind, self.limits.batch.max_rows)
        except Exception:
            logger.exception("the costs of passes cannot be measured; those that were assumed stay")
        done.set_result(None)

    def _run(self, batch: list[_Work]) -> list[Tensor]:
        if batch[0].kind == WEIGHTS:
            return [self._copied(work.payload.inputs) for work in batch]
        self.observe(sum(work.rows for work in batch))
        return [rows.cpu() for rows in self.forward.run(batch[0].kind, [work.payload for work in batch])]

    def _copied(self, entries: range) -> Tensor:
        self.forward.unmerge()
        return self.base.flat.buffer[entries.start : entries.stop].detach().to("cpu", copy=True)


def digest(labels: Sequence[str], template: Template) -> bytes:
    """What stands for labels in their template as a key: a text may be long, and there may be thousands of them."""
    return hashlib.sha256(json.dumps([labels, template]).encode()).digest()


def _logit_scale(base: Base) -> tuple[Tensor, int]:
    """A copy of the base's logit scale, and its slot."""
    slot = next(number for number, slot in enumerate(base.flat.slots) if slot.name == "logit_scale")
    return base.flat.buffer[base.flat.slots[slot].offset].detach().cpu().clone(), slot


def _collect(works: Sequence[_Work]) -> Tensor:
    """The answers, row after row. Raises what failed first; what still waits then is given up."""
    CLIENT.get().rest()
    with ExitStack() as stack:
        for work in works:
            stack.callback(work.future.cancel)
        return torch.cat([_result(work.future, work.deadline) for work in works])


def _result(future: Future[Tensor], deadline: float) -> Tensor:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError as error:
        if future.done():
            raise Unavailable(f"the engine failed: {error}") from error
        raise DeadlinePassed from error


def _to_numpy(values: Tensor) -> FloatArray:
    array: FloatArray = values.float().cpu().numpy()
    return array
