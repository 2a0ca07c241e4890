"""The engine's thread: gathers what callers ask for into batches and runs these through the base (forward.py)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.errors import DeadlinePassed, Unavailable
from saft_core.serving.adapters import BASE
from saft_core.serving.batcher import BatchLimits, MicroBatcher, Work
from saft_core.serving.compiled_towers import Compilation
from saft_core.serving.costs import short_rows, short_seconds
from saft_core.serving.forward import KINDS, Forward, Part
from saft_core.serving.measured_costs import measure
from saft_core.serving.shares import CLIENT
from saft_core.sparse.batch_delta import Row

logger = logging.getLogger(__name__)

_Work = Work[Part, Tensor]
_NO_MORE = object()
WEIGHTS = "weights"
"""The kind of work that reads the base's own weights; it is no pass."""


class Passes:
    """Passes of the base by one thread; safe to be asked by any number of threads.

    threads: CPU threads of one pass. observe: told the rows of each batch.
    """

    def __init__(
        self, base: Base, limits: BatchLimits, compilation: Compilation, threads: int, observe: Callable[[int], None]
    ) -> None:
        self._base, self._limits, self._threads = base, limits, threads
        self.observe = observe
        self.forward = Forward(base, compilation=compilation)
        self.batcher: MicroBatcher[Part, Tensor] = MicroBatcher(
            self._run,
            limits,
            seconds=self._seconds,
            joins=self._joins,
            on_start=self._use_threads,
            on_idle=self._rest,
        )
        self._calibration: Iterator[None] = iter(())

    def submit(self, kind: str, part: Part, deadline: float) -> list[_Work]:
        """Queue the rows of a part, in chunks so small that a short pass takes one: between them others may come."""
        part = self.forward.narrowed(kind, part)
        share, size = CLIENT.get().share, short_rows(self.forward.costs[kind], self._limits.max_rows)
        chunks = [replace(part, inputs=part.inputs[start : start + size]) for start in range(0, len(part), size)]
        works: list[_Work] = [Work(kind, len(chunk), chunk, deadline, share) for chunk in chunks]
        self.batcher.submit_all(works)
        return works

    def weights(self, start: int, stop: int, deadline: float) -> Tensor:
        """The base's own parameter entries `start` to `stop` of its flat buffer, a copy on the CPU."""
        part = Part(BASE, Row(None), range(start, stop))
        work: _Work = Work(WEIGHTS, 0, part, deadline, CLIENT.get().share)
        return collect([self.batcher.submit(work)])

    def calibrate(self) -> Future[None]:
        """Compile the base's image tower, and measure what a pass costs by each route, whenever there is nothing else
        to do; the future is the end of it.

        Until then every route answers, but not always the one that costs least.
        """
        done: Future[None] = Future()
        self._calibration = self._calibrated(done)
        self.batcher.rest()
        return done

    def _seconds(self, kind: str, rows: int) -> float:
        """What a chunk takes of the engine's time."""
        return 0.0 if kind == WEIGHTS else self.forward.costs[kind].forward_seconds(rows)

    # In the engine's thread

    def _joins(self, batch: Sequence[_Work], work: _Work) -> bool:
        """Whether it is the first row of its share, or the pass is still short with it.

        So many shares that ask for little fill a pass together, and one that asks for much cannot.
        """
        if work.kind == WEIGHTS or (work.rows == 1 and all(one.share != work.share for one in batch)):
            return True
        parts = [one.payload for one in (*batch, work)]
        costs = self.forward.costs_of(work.kind, parts)
        return self.forward.seconds(work.kind, parts) <= short_seconds(costs, self._limits.max_rows)

    def _use_threads(self) -> None:
        torch.set_num_threads(self._threads)

    def _rest(self) -> bool:
        """Make the base itself again, then take one step of the calibration; whether there was one."""
        self.forward.unmerge()
        return next(self._calibration, _NO_MORE) is not _NO_MORE

    def _calibrated(self, done: Future[None]) -> Iterator[None]:
        try:
            yield from self.forward.compiled.starting()
            for kind in KINDS:
                yield from measure(self.forward, kind, self._limits.max_rows)
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
        return self._base.flat.buffer[entries.start : entries.stop].detach().to("cpu", copy=True)


def collect(works: Sequence[_Work]) -> Tensor:
    """The answers, row after row. Raises what failed first; what still waits then is given up."""
    CLIENT.get().rest()
    with ExitStack() as stack:
        for work in works:
            stack.callback(work.future.cancel)
        return torch.cat([result(work.future, work.deadline) for work in works])


def result(future: Future[Tensor], deadline: float) -> Tensor:
    """The answer. Raises DeadlinePassed when it does not come in time, and whatever the work raised."""
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError as error:
        if future.done():
            raise Unavailable(f"the engine failed: {error}") from error
        raise DeadlinePassed from error
