"""What passes cost on this machine: measured one pass at a time, whenever nobody waits."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import torch

from saft_core.serving.adapters import BASE
from saft_core.serving.costs import Costs, Times, undisturbed
from saft_core.serving.forward import Forward, Part
from saft_core.serving.trials import changed_row, inputs_of
from saft_core.sparse.batch_delta import Row

logger = logging.getLogger(__name__)

DENSITY = 0.001
"""Of the adapters that are tried: the paper's."""
FEW_TIMES, MANY_TIMES = 5, 2
"""So often passes of one or two rows, and of more, are timed; the least counts, for others on the machine only add."""
Seconds = Generator[None, None, float]
"""Yields after each pass; returns what one takes."""


@torch.inference_mode()
def measure(forward: Forward, kind: str, max_rows: int) -> Iterator[None]:
    """Measure the costs of one kind of pass, and put them to use at its end.

    Other passes of `forward` may come wherever it yields, which is after each of its own.
    """
    passes = _Passes(forward, kind, max_rows)
    yield from passes.choose_threads()
    sizes = sorted({1, 2, max(2, max_rows // 4), max(2, max_rows)})
    alone = yield from passes.by_rows(sizes, passes.alone)
    swap_seconds = (yield from passes.best(2, passes.swapped)) - dict(alone)[2]
    entries = forward.entries(kind, passes.rows[0])
    found = Costs(alone, max(swap_seconds, 0.0) / max(entries, 1), 0.0, 0.0)
    if (tower := forward.compiled.find(kind, BASE)) is not None:
        try:
            compiled = yield from passes.by_rows(sizes, lambda rows: tower(passes.inputs[:rows]))
            found = replace(found, compiled=compiled)
        except RuntimeError:
            logger.exception("the base's compiled tower failed, and is used no more")
            forward.compiled.drop(BASE)
    if forward.mixes(kind):
        found = yield from passes.mixed_costs(found, dict(alone), sizes[-1])
    forward.costs[kind] = found


class _Passes:
    """Passes that are timed, of the base and of two adapters."""

    def __init__(self, forward: Forward, kind: str, max_rows: int) -> None:
        self._forward, self._kind = forward, kind
        self.inputs = inputs_of(forward.base, kind, max(2, max_rows))
        self.rows = [changed_row(forward.base, number, DENSITY) for number in range(2)]

    def alone(self, rows: int) -> None:
        """So many rows of the base."""
        self._run([Part(BASE, Row(None), self.inputs[:rows])], mixed=False)

    def swapped(self, rows: int) -> None:
        """So many rows of one adapter."""
        self._run([Part(("0", 1.0), self.rows[0], self.inputs[:rows])], mixed=False)

    def mixed(self, rows: int) -> None:
        """So many rows of two adapters in turn."""
        parts = [Part((str(n % 2), 1.0), self.rows[n % 2], self.inputs[n : n + 1]) for n in range(rows)]
        self._run(parts, mixed=True)

    def choose_threads(self) -> Iterator[None]:
        """Find out whether a lone row takes one thread less time than all of them."""
        in_one_thread = self._forward.encoder.few_rows_in_one_thread
        in_one_thread.discard(self._kind)
        together = yield from self.best(1, self.alone)
        in_one_thread.add(self._kind)
        if (yield from self.best(1, self.alone)) >= together:
            in_one_thread.discard(self._kind)

    def by_rows(self, sizes: list[int], run: Callable[[int], object]) -> Generator[None, None, Times]:
        """What `run` takes for so many rows each."""
        seconds = {}
        for rows in sizes:
            seconds[rows] = yield from self.best(rows, run)
        return undisturbed(seconds)

    def mixed_costs(self, found: Costs, alone: dict[int, float], most: int) -> Generator[None, None, Costs]:
        """`found` with what mixing adds to `alone`."""
        few = (yield from self.best(2, self.mixed)) - alone[2]
        many = (yield from self.best(most, self.mixed)) - alone[most]
        entries = sum(self._forward.entries(self._kind, row) for row in self.rows) / len(self.rows)
        slope = max(many - few, 0.0) / max((most - 2) * entries, 1.0)
        return replace(found, mixed_entry_seconds=slope, mixed_seconds=max(few - 2 * slope * entries, 0.0))

    def best(self, rows: int, run: Callable[[int], object]) -> Seconds:
        """The least that `run` takes for so many rows."""
        best = math.inf
        for _ in range(FEW_TIMES if rows <= 2 else MANY_TIMES):
            started = time.perf_counter()
            run(rows)
            best = min(best, time.perf_counter() - started)
            yield
        return best

    def _run(self, parts: list[Part], *, mixed: bool) -> None:
        """A pass of nobody: it leaves nothing merged."""
        try:
            self._forward.run_pass(self._kind, parts, range(len(parts)), mixed=mixed)
        finally:
            self._forward.unmerge()
        if self._forward.base.device.type == "cuda":
            torch.cuda.synchronize()
