"""Rows through a tower of the base, each with its own delta, in several threads at once.

On a CPU a thread takes some rows through the whole tower: it waits for no other, and what one layer gives is still in
its core's cache when the next one reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.process import available_cpus
from saft_core.sparse.batch_delta import BatchDelta, Row
from saft_core.sparse.mixed_mode import MixedBatchMode
from saft_core.sparse.param_delta import loops_may_meet, use_torchs_threads
from saft_core.sparse.plain_mode import PlainMode

IMAGE, TEXT = "image", "text"
ROWS_A_THREAD = 4
"""The least that a thread takes: what Python does in a pass, it does for one thread after the other."""


class Encoder:
    """The towers of `base`; its own threads end with `close`.

    slots:                  of each tower, the positions in `base.flat.slots` of the parameters that its rows may differ
                            in.
    few_rows_in_one_thread: the towers for which waking the other threads for too few rows to share out takes longer
                            than it saves.
    """

    def __init__(self, base: Base, slots: Mapping[str, Sequence[int]]) -> None:
        self._base = base
        self.slots = slots
        self.few_rows_in_one_thread: set[str] = set()
        self._constants = frozenset(b.untyped_storage().data_ptr() for b in base.model.buffers() if b.numel())
        self._plain: dict[str, Callable[[Any], Tensor]] = {
            IMAGE: lambda inputs: base.encode_pixels(inputs),  # noqa: PLW0108 (tests replace the method later)
            TEXT: lambda inputs: base.encode_texts(inputs),  # noqa: PLW0108
        }
        self._threads = ThreadPoolExecutor(available_cpus(), "saft-rows")

    def plain(self, kind: str, inputs: Any) -> Tensor:
        """Unit embeddings float32 (rows, embed_dim) of pixels (rows, 3, size, size) or texts, as the model is written.

        All rows are of the base, with whatever is merged into it.
        """
        return self._plain[kind](inputs)

    def encode(self, kind: str, inputs: Any, rows: Sequence[Row]) -> Tensor:
        """As `plain`, each row with its own delta. Raises Unsupported for a model that this cannot be done with."""
        workers, threads = self._workers(kind, len(rows))
        if threads == torch.get_num_threads():
            return self._encode(kind, inputs, rows)
        cuts = [len(rows) * number // workers for number in range(workers + 1)]
        chunks = [slice(start, stop) for start, stop in pairwise(cuts)]
        done = [self._threads.submit(self._in_thread, threads, kind, inputs[chunk], rows[chunk]) for chunk in chunks]
        return torch.cat(_all(future.result for future in done))

    def _workers(self, kind: str, rows: int) -> tuple[int, int]:
        """In how many chunks so many rows are taken, and how many of torch's threads each takes."""
        threads = torch.get_num_threads()
        if threads == 1 or self._base.device.type != "cpu" or not loops_may_meet():
            return 1, threads
        if rows < 2 * ROWS_A_THREAD:
            return 1, 1 if kind in self.few_rows_in_one_thread else threads
        workers = min(threads, rows // ROWS_A_THREAD)
        return workers, threads // workers

    def close(self) -> None:
        """End the threads when what they do is done."""
        self._threads.shutdown(wait=False)

    def _in_thread(self, threads: int, kind: str, inputs: Any, rows: Sequence[Row]) -> Tensor:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            return self._encode(kind, inputs, rows)

    def _encode(self, kind: str, inputs: Any, rows: Sequence[Row]) -> Tensor:
        use_torchs_threads()
        with self._mode(kind, rows):
            return self._plain[kind](inputs)

    def _mode(self, kind: str, rows: Sequence[Row]) -> PlainMode | MixedBatchMode:
        if all(row.delta is None for row in rows):
            return PlainMode(self._base.flat.number_of)
        return MixedBatchMode(self._base.flat, BatchDelta(self._base.flat, self.slots[kind], rows), self._constants)


def _all(results: Iterable[Callable[[], Tensor]]) -> list[Tensor]:
    """Of all threads, what they gave: an error is raised when none of them uses the weights any more."""
    given, errors = [], []
    for result in results:
        try:
            given.append(result())
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return given
