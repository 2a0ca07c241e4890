"""Which image towers are compiled: the base's, and those of the adapters that are asked for most.

A compiled tower (tower_graph.py) answers for one model alone, and in less time than a mixed batch takes for each of its
rows; but it takes a copy of the weights. So it is for the few that are worth it, and mixed batches are for all others.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import psutil
import torch
from torch import Tensor

from saft_core import quiet_openvino
from saft_core.clip.backbone import Base
from saft_core.serving.adapters import BASE, ModelKey
from saft_core.serving.encoder import IMAGE
from saft_core.serving.tower_graph import ROWS, CompiledTower, Precision, TowerGraph, base_bytes
from saft_core.serving.trials import changed_row, inputs_of
from saft_core.sparse.batch_delta import Row
from saft_core.sparse.call import Unsupported

logger = logging.getLogger(__name__)

TOLERANCES: Mapping[Precision, float] = {"float32": 1e-5, "bfloat16": 0.03}
"""How far an entry of a unit embedding may be from the engine's own."""
ENOUGH_ROWS = 128
"""Asked of an adapter lately, from which on it is compiled: some 130 rows save the time that compiling takes."""
HALF_LIFE_SECONDS = 60.0
"""After so long, what was asked counts half."""
WAIT_SECONDS = 0.01
"""How long a pass waits that comes while the base's tower is being compiled."""
MORE_OFTEN = 2
"""So many times as often is an adapter asked for that takes another's place."""

Expected = Callable[[Row, Tensor], Tensor]
"""What the engine itself gives for pixels with a row's delta: unit embeddings float32 (N, embed_dim)."""


@dataclass(frozen=True)
class Compilation:
    """capacity_bytes: of the graph with all towers; 0 for none. threads: of one call of a tower."""

    capacity_bytes: int = 0
    precision: Precision = "float32"
    threads: int = 1


Made = TypeVar("Made")


class _Building(NamedTuple):
    """A tower that another thread compiles."""

    key: ModelKey
    row: Row
    tower: Future[CompiledTower]


class CompiledTowers:
    """The towers by model. Only the thread that owns the base's weights calls it; adapters' are compiled in another.

    expected: what every tower is compared with before it answers.

    loads: how many were compiled. nbytes: about what the graph and all towers take in memory.
    """

    def __init__(self, base: Base, expected: Expected, options: Compilation) -> None:
        self._base, self._expected, self._options = base, expected, options
        self._graph: TowerGraph | None = None
        self._towers: dict[ModelKey, CompiledTower] = {}
        self._rows: Counter[ModelKey] = Counter()
        self._halved = time.monotonic()
        self._refused: set[ModelKey] = set()
        self._building: _Building | None = None
        self._builder = ThreadPoolExecutor(1, "saft-compile")
        self.loads = self.nbytes = 0

    def start(self) -> None:
        """`starting` at once."""
        deque(self.starting(), maxlen=0)

    @torch.inference_mode()
    def starting(self) -> Iterator[None]:
        """Compile the base's tower, whose weights must be the base's own at the first step.

        Passes may come wherever it yields. Where it cannot be done, or would answer otherwise, nothing is ever
        compiled, and the log says why.
        """
        if not self._options.capacity_bytes:
            return
        if not quiet_openvino.is_installed():
            logger.info("image towers are not compiled, which takes less time: pip install 'saft[openvino]'")
            return
        try:
            if (needed := base_bytes(self._base)) > self._options.capacity_bytes:
                raise Unsupported(f"it would take {needed:,} bytes, more than SAFT_COMPILED_BYTES allows")
            yield from self._in_builder(quiet_openvino.load)  # a second, in which others need not wait
            graph = TowerGraph(self._base, self._options.threads)
            yield
            # First with every parameter changed, so that a delta of any of them is known to be merged.
            yield from self._compiled(graph, changed_row(self._base, 0), "float32")
            tower = yield from self._compiled(graph, Row(None), self._options.precision)
            if (taken := graph.nbytes + tower.nbytes) > self._options.capacity_bytes:
                raise Unsupported(f"it takes {taken:,} bytes, more than SAFT_COMPILED_BYTES allows")
        except Exception as error:
            logger.warning("the image tower of base %s is not compiled: %s", self._base.name, error)
            return
        self._graph = graph
        self._put(BASE, tower)

    def _compiled(self, graph: TowerGraph, row: Row, precision: Precision) -> Generator[None, None, CompiledTower]:
        """The tower, when another thread has compiled it."""
        tower = yield from self._in_builder(lambda: graph.compile(row, precision))
        before = _resident_bytes()
        tower(inputs_of(self._base, IMAGE, ROWS))
        graph.call_bytes = max(graph.call_bytes, _resident_bytes() - before)
        yield
        self._check(tower, row, precision)
        return tower

    def _in_builder(self, work: Callable[[], Made]) -> Generator[None, None, Made]:
        """What `work` gives in the other thread."""
        making = self._builder.submit(work)
        while not making.done():
            time.sleep(WAIT_SECONDS)
            yield
        return making.result()

    def find(self, kind: str, key: ModelKey) -> CompiledTower | None:
        """The model's tower, if it is compiled."""
        return self._towers.get(key) if kind == IMAGE else None

    def drop(self, key: ModelKey) -> None:
        """Never use this model's tower again."""
        self._refused.add(key)
        self._towers.pop(key, None)
        self._sum_up()

    def asked(self, kind: str, key: ModelKey, row: Row, rows: int) -> None:
        """Take note of so many rows of a model; may have it compiled, or begin to use one that is."""
        if (graph := self._graph) is None or kind != IMAGE:
            return
        self._settle()
        self._halve()
        if key == BASE or key in self._refused:
            return
        self._rows[key] += rows
        if key in self._towers or self._building or self._rows[key] < ENOUGH_ROWS:
            return
        if self._replaced(key, graph.compiled_bytes(row)) is not None:
            tower = self._builder.submit(graph.compile, row, self._options.precision)
            self._building = _Building(key, row, tower)

    def close(self) -> None:
        """End its thread when what it does is done, and compile nothing more."""
        self._graph = None
        self._builder.shutdown(wait=False)

    def _settle(self) -> None:
        """Begin to use the tower that another thread has compiled, if it has and the tower still has a place."""
        if self._building is None or not self._building.tower.done():
            return
        (key, row, future), self._building = self._building, None
        try:
            tower = future.result()
            self._check(tower, row, self._options.precision)
        except Exception:
            logger.exception("the image tower of adapter %s is not compiled", key[0])
            self._refused.add(key)
            return
        if (replaced := self._replaced(key, tower.nbytes)) is not None:
            for other in replaced:
                del self._towers[other]
            self._put(key, tower)

    def _put(self, key: ModelKey, tower: CompiledTower) -> None:
        self._towers[key] = tower
        self.loads += 1
        self._sum_up()

    def _sum_up(self) -> None:
        """Other threads read the sum, and must not meet a dictionary that changes."""
        self.nbytes = (self._graph.nbytes if self._graph else 0) + sum(t.nbytes for t in self._towers.values())

    def _replaced(self, key: ModelKey, nbytes: int) -> list[ModelKey] | None:
        """Whose places a tower of so many bytes would take; None if these are asked for too often."""
        over, replaced = self.nbytes + nbytes - self._options.capacity_bytes, []
        for other in sorted(self._towers.keys() - {BASE}, key=lambda other: self._rows[other]):
            if over <= 0:
                break
            if self._rows[other] * MORE_OFTEN > self._rows[key]:
                return None
            replaced.append(other)
            over -= self._towers[other].nbytes
        return replaced if over <= 0 else None

    def _halve(self) -> None:
        passed = time.monotonic() - self._halved
        if passed >= HALF_LIFE_SECONDS:
            self._halved = time.monotonic()
            times = int(passed / HALF_LIFE_SECONDS)
            self._rows = Counter({key: left for key, rows in self._rows.items() if (left := rows >> times)})

    @torch.inference_mode()
    def _check(self, tower: CompiledTower, row: Row, precision: Precision) -> None:
        """Raise Unsupported if the tower's embeddings are not the engine's."""
        pixels = inputs_of(self._base, IMAGE, ROWS)  # of a lone call, of a full one, and of one between
        wanted = self._expected(row, pixels)
        wanted = torch.cat([wanted[:1], wanted, wanted[:3]])
        given = torch.cat([tower(pixels[:1]), tower(pixels), tower(pixels[:3])])
        if given.shape != wanted.shape:
            raise Unsupported(f"its embeddings would be {tuple(given.shape)}")
        if not (off := float((given - wanted).abs().max())) <= TOLERANCES[precision]:
            raise Unsupported(f"its embeddings would differ by {off:.1e}")


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
