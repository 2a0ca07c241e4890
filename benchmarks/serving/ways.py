"""The engine's ways to answer one batch of pictures or of texts, as works to time, and ratios between their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Measured, Row, machine
from saft_core.serving.adapters import BASE
from saft_core.serving.forward import Forward, Part
from saft_core.sparse import batch_delta
from saft_core.sparse.mixed_batch import MIN_BATCH

RUNTIME = "onnxruntime"
"""The mode that the other rows are compared with."""
Work = Callable[[], Any]
Named = tuple[str, int]
"""A mode and its number of adapters."""


@dataclass(frozen=True)
class Batch:
    """Pixels float32 (N, 3, size, size) or N texts, on their way through the tower `kind` of `forward`."""

    forward: Forward
    kind: str
    inputs: Any

    def base(self) -> Tensor:
        """Unit embeddings (N, embed_dim) by the base, as the engine computes them."""
        whole = Part(BASE, batch_delta.Row(None), self.inputs)
        return self.forward.run_pass(self.kind, [whole], [0], mixed=False)[0]

    @property
    def mixes(self) -> bool:
        """Whether there are rows enough to mix; a lone one is always swapped."""
        return len(self.inputs) >= MIN_BATCH

    def mixed(self, tenants: Sequence[batch_delta.Row]) -> Work:
        """One forward in which equal shares of the rows, side by side, have an adapter each."""
        parts = self._parts(tenants, 1)
        numbers = range(len(parts))
        return lambda: torch.cat(list(self.forward.run_pass(self.kind, parts, numbers, mixed=True).values()))

    def swap(self, tenants: Sequence[batch_delta.Row]) -> Work:
        """One forward for each adapter, which is written into the base and taken out again."""
        parts = self._parts(tenants, len(self.inputs) // len(tenants))

        def work() -> Tensor:
            passes = [self.forward.run_pass(self.kind, parts, [number], mixed=False) for number in range(len(parts))]
            self.forward.unmerge()
            return torch.cat([one[number] for number, one in enumerate(passes)])

        return work

    def _parts(self, tenants: Sequence[batch_delta.Row], rows: int) -> list[Part]:
        """The inputs in pieces of so many rows, equal shares to each tenant, a tenant's pieces side by side."""
        share = len(self.inputs) // len(tenants)
        return [
            Part((str(start // share), 1.0), tenants[start // share], self.inputs[start : start + rows])
            for start in range(0, len(self.inputs), rows)
        ]


def rows_of(
    measured: Mapping[Named, Measured], notes: Mapping[Named, Row], common: Row, size: int, rate: str
) -> list[Row]:
    """A row for each work: `size` items in its median time as `rate`, its notes, and its ratios to others."""
    made = [
        common
        | {"mode": mode, "adapters": adapters, "batch": size}
        | {rate: round(size / one.seconds, 3), "p50_ms": round(one.seconds * 1000, 2)}
        | notes.get((mode, adapters), {})
        | {"repeats": [round(seconds, 4) for seconds in one.repeats], "machine": machine(common["device"])}
        for (mode, adapters), one in measured.items()
    ]
    return with_ratios(made, rate)


def with_ratios(made: Sequence[Row], rate: str = "images_per_second") -> list[Row]:
    """The rows of one batch with their throughput over that of the base, of swap with as many adapters, and of
    onnxruntime with the base; a ratio to what was not measured is left out.
    """
    rates = {(row["mode"], row["adapters"]): row[rate] for row in made}

    def ratios(row: Row) -> Row:
        others = {"to_base": ("base", 0), "to_swap": ("swap", row["adapters"]), "vs_onnxruntime": (RUNTIME, 0)}
        return {name: round(row[rate] / rates[other], 3) for name, other in others.items() if other in rates}

    return [row | ratios(row) for row in made]
