"""The routes from a batch to its embeddings, and the choice between them. Only the engine's thread calls this.

*swap*: merge an adapter into the base's weights, run the forward, copy the originals back. *mixed*: one forward for
rows of several adapters. Both by the same kernels (`saft_core.sparse`), and equal to the fine-tuned model within
float32 rounding. A base that these do not take runs as its model is written, by swap alone. Where OpenVINO is
installed, the base and the adapters that are asked for most have image towers of their own (`compiled_towers.py`).

The originals are copied back when the next pass wants other weights, or on `unmerge`: nobody's answer waits for it, and
an adapter that is asked again at once is still there.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.flat import tower_of
from saft_core.serving.adapters import BASE, ModelKey
from saft_core.serving.compiled_towers import Compilation, CompiledTowers
from saft_core.serving.costs import Costs, Group, cheapest_split, planned_seconds
from saft_core.serving.encoder import IMAGE, TEXT, Encoder
from saft_core.serving.trials import changed_row, inputs_of
from saft_core.sparse.batch_delta import Row
from saft_core.sparse.call import Unsupported
from saft_core.sparse.loaded_delta import merged

logger = logging.getLogger(__name__)

KINDS = (IMAGE, TEXT)
CPU_TOLERANCE = 1e-5
CUDA_TOLERANCE = 1e-3
"""Where both routes count as equal: on CUDA convolutions run in TF32 unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one adapter, or of the base: pixels (N, 3, size, size), or texts."""

    key: ModelKey
    row: Row
    inputs: Any

    def __len__(self) -> int:
        return len(self.inputs)


class Forward:
    """Runs batches through `base`. Not thread-safe: it writes into the weights.

    costs: of each kind of pass; measured_costs.py replaces them. compilation: which image towers may be compiled.

    merged: the tower and the row whose delta is merged into the base now; None when its weights are its own.
    """

    def __init__(self, base: Base, costs: Costs | None = None, compilation: Compilation | None = None) -> None:
        self.base = base
        self.costs = dict.fromkeys(KINDS, costs or Costs())
        self.rows_by_route: Counter[str] = Counter(base=0, swap=0, mixed=0, compiled=0)
        names = [tower_of(slot.name) == IMAGE for slot in base.flat.slots]
        slots = {IMAGE: np.flatnonzero(names).tolist(), TEXT: np.flatnonzero(~np.array(names)).tolist()}
        self._runs = {kind: _runs(of_kind) for kind, of_kind in slots.items()}
        self.encoder = Encoder(base, slots)
        self.compiled = CompiledTowers(base, self._expected, compilation or Compilation())
        self._refusals: dict[str, str | None] = {}
        self._said: set[str] = set()
        self.merged: tuple[str, Row] | None = None
        self._writes = ExitStack()

    @torch.inference_mode()
    def run(self, kind: str, parts: Sequence[Part]) -> list[Tensor]:
        """Unit embeddings float32 (rows, embed_dim), one tensor for each part."""
        groups = _by_model(parts)
        for numbers in groups:
            first = parts[numbers[0]]
            self.compiled.asked(kind, first.key, first.row, _rows(parts, numbers))
        alone, shared = self._split(kind, parts, groups)
        results: dict[int, Tensor] = {}
        if shared:
            numbers = [number for group in shared for number in group]
            try:
                results |= self.run_pass(kind, parts, numbers, mixed=True)
                self._count("mixed", parts, numbers)
            except Unsupported as error:
                self._say(
                    f"the mixed route cannot take a batch of {kind}s, each of its adapters is swapped in: {error}"
                )
                alone = [*alone, *shared]
        for group in alone:
            results |= self._run_alone(kind, parts, group)
        return [results[number] for number in range(len(parts))]

    def seconds(self, kind: str, parts: Sequence[Part]) -> float:
        """What these parts are expected to take together."""
        groups = [self._measured(kind, parts, numbers) for numbers in _by_model(parts)]
        return planned_seconds(groups, self.costs[kind], mixes=len(groups) > 1 and self.mixes(kind))

    def costs_of(self, kind: str, parts: Sequence[Part]) -> Costs:
        """What passes of these parts' models cost: less if all of them have compiled towers."""
        costs = self.costs[kind]
        if costs.compiled and all(self.compiled.find(kind, part.key) for part in parts):
            return replace(costs, forward=costs.compiled)
        return costs

    def narrowed(self, kind: str, part: Part) -> Part:
        """The part, as one of the base if its adapter changes nothing of this tower."""
        if part.row.delta is None or self.entries(kind, part.row):
            return part
        return replace(part, key=BASE, row=Row(None))

    def _split(
        self, kind: str, parts: Sequence[Part], groups: list[list[int]]
    ) -> tuple[list[list[int]], list[list[int]]]:
        if len(groups) == 1 or not self.mixes(kind):
            return groups, []
        return cheapest_split([(group, self._measured(kind, parts, group)) for group in groups], self.costs[kind])

    def _measured(self, kind: str, parts: Sequence[Part], numbers: Sequence[int]) -> Group:
        """The parts with these numbers, which are of one model."""
        first = parts[numbers[0]]
        compiled = self.compiled.find(kind, first.key) is not None
        return Group(_rows(parts, numbers), self.entries(kind, first.row), compiled)

    def _run_alone(self, kind: str, parts: Sequence[Part], numbers: Sequence[int]) -> dict[int, Tensor]:
        """The parts with these numbers, which are of one model, by its compiled tower if it has one."""
        first = parts[numbers[0]]
        if (tower := self.compiled.find(kind, first.key)) is not None:
            try:
                results = _by_number(tower(_inputs(parts, numbers)), parts, numbers)
            except Exception:
                logger.exception("the compiled tower of adapter %s failed, and is used no more", first.key[0])
                self.compiled.drop(first.key)
            else:
                self._count("compiled", parts, numbers)
                return results
        results = self.run_pass(kind, parts, numbers, mixed=False)
        self._count("base" if first.row.delta is None else "swap", parts, numbers)
        return results

    def _count(self, route: str, parts: Sequence[Part], numbers: Sequence[int]) -> None:
        self.rows_by_route[route] += _rows(parts, numbers)

    def run_pass(self, kind: str, parts: Sequence[Part], numbers: Sequence[int], *, mixed: bool) -> dict[int, Tensor]:
        """One forward over the parts with these numbers: their unit embeddings, by number.

        mixed: each row with its own delta; else all parts are of one model, which stays merged.

        Raises Unsupported for a mixed pass that the base cannot take.
        """
        chosen, inputs = [parts[number] for number in numbers], _inputs(parts, numbers)
        by_kernels = mixed or self.mixes(kind)  # asked before the merge: to try it takes the weights
        self.merge(kind, Row(None) if mixed else chosen[0].row)
        if by_kernels:
            rows = [part.row if mixed else Row(None) for part in chosen for _ in range(len(part))]
            embeddings = self.encoder.encode(kind, inputs, rows)
        else:
            embeddings = self.encoder.plain(kind, inputs)
        return _by_number(embeddings, parts, numbers)

    def close(self) -> None:
        """End its threads."""
        self.encoder.close()
        self.compiled.close()

    @torch.inference_mode()
    def merge(self, kind: str, row: Row) -> None:
        """Have this row's delta merged into this kind's tower, and no other; nothing happens if it is."""
        wanted = None if row.delta is None else (kind, row)
        if self.merged == wanted:
            return
        self.unmerge()
        if row.delta is not None:
            runs = self._runs[kind]
            positions = _cut(row.delta.positions, row.delta.bounds, runs)
            values = _cut(row.delta.scaled(row.strength), row.delta.bounds, runs)
            self._writes.enter_context(merged(self.base.flat, positions, values))
            self.merged = wanted

    @torch.inference_mode()
    def unmerge(self) -> None:
        """Give the base its own weights again, bit by bit."""
        self._writes.close()
        self.merged = None

    def entries(self, kind: str, row: Row) -> int:
        """How many entries of this kind's tower a row changes."""
        if (delta := row.delta) is None:
            return 0
        return sum(int(delta.bounds[last] - delta.bounds[first]) for first, last in self._runs[kind])

    # Trust, but measure

    def mixes(self, kind: str) -> bool:
        """Whether both routes give what the model as it is written gives; tried once, every parameter changed."""
        return self.refusal(kind) is None

    @torch.inference_mode()
    def refusal(self, kind: str) -> str | None:
        """Why batches of this kind are never mixed, such as the function that is not known; None if they are."""
        if kind not in self._refusals:
            self._refusals[kind] = self._tried(kind)
            if (reason := self._refusals[kind]) is not None:
                self._say(f"mixed {kind} batches are off for base {self.base.name}, adapters are swapped in: {reason}")
        return self._refusals[kind]

    def _tried(self, kind: str) -> str | None:
        if self.base.flat.buffer.dtype != torch.float32:
            return "its parameters are not float32"
        inputs = inputs_of(self.base, kind, 3)
        rows = [changed_row(self.base, 0), changed_row(self.base, 1), Row(None)]
        parts = [Part((str(n), 1.0), row, inputs[n : n + 1]) for n, row in enumerate(rows)]
        wanted = torch.cat([self._plain(kind, part) for part in parts])
        try:
            mixed = self.encoder.encode(kind, inputs, rows)
            self.merge(kind, rows[0])
            swapped = self.encoder.encode(kind, inputs[:1], [Row(None)])
        except Exception as error:
            return str(error) if isinstance(error, Unsupported) else repr(error)
        finally:
            self.unmerge()
        tolerance = CPU_TOLERANCE if self.base.device.type == "cpu" else CUDA_TOLERANCE
        off = float(torch.cat([mixed - wanted, swapped - wanted[:1]]).abs().max())
        return None if off <= tolerance else f"they differ by {off:.1e}"

    def _plain(self, kind: str, part: Part) -> Tensor:
        """What the model as it is written gives for a part."""
        self.merge(kind, part.row)
        try:
            return self.encoder.plain(kind, part.inputs)
        finally:
            self.unmerge()

    def _expected(self, row: Row, pixels: Tensor) -> Tensor:
        """What the engine's own pass gives for pixels of one model: what a compiled tower is compared with."""
        try:
            return self.run_pass(IMAGE, [Part(BASE, row, pixels)], [0], mixed=False)[0]
        finally:
            self.unmerge()

    def _say(self, what: str) -> None:
        """Log it, once: the next batch would say the same."""
        if what not in self._said:
            self._said.add(what)
            logger.warning("%s", what)


def _runs(slots: Sequence[int]) -> list[tuple[int, int]]:
    """The ascending numbers as runs of consecutive ones: (first, last + 1)."""
    breaks = np.flatnonzero(np.diff(slots) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(np.asarray(slots), breaks)]


def _cut(entries: Tensor, bounds: npt.NDArray[np.int64], runs: Sequence[tuple[int, int]]) -> Tensor:
    """What of `entries` lies in these runs of slots; a view of it where that is possible."""
    parts = [entries[bounds[first] : bounds[last]] for first, last in runs]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _by_model(parts: Sequence[Part]) -> list[list[int]]:
    """The numbers of the parts of each model, in the order of the first ones."""
    groups: dict[ModelKey, list[int]] = {}
    for number, part in enumerate(parts):
        groups.setdefault(part.key, []).append(number)
    return list(groups.values())


def _rows(parts: Sequence[Part], numbers: Sequence[int]) -> int:
    return sum(len(parts[number]) for number in numbers)


def _by_number(embeddings: Tensor, parts: Sequence[Part], numbers: Sequence[int]) -> dict[int, Tensor]:
    """The embeddings of all rows of the parts with these numbers, by number."""
    return dict(zip(numbers, embeddings.split([len(parts[number]) for number in numbers]), strict=True))


def _inputs(parts: Sequence[Part], numbers: Sequence[int]) -> Any:
    """Those of all rows of the parts with these numbers."""
    inputs = [parts[number].inputs for number in numbers]
    if len(inputs) == 1:
        return inputs[0]
    if isinstance(inputs[0], Tensor):
        return torch.cat(list(inputs))
    return [text for texts in inputs for text in texts]
