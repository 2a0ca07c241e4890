"""bench=batch: one picture, and a batch of 32, by each way of serving several adapters, and by other runtimes.

base        the base's forward by the engine's own kernels, no adapter
compiled    a tower for each adapter, compiled by OpenVINO, as the engine has for those that are asked for most; with no
            adapter the base's, by which the engine answers wherever OpenVINO is installed
mixed       one forward in which each row has its own adapter, on random places; of one picture there is none
selected    the same, all on the places that a training selects
swap        one forward for each adapter, written into the base and taken out again
peft        peft's LoRA of rank 2 on queries and values, `adapter_names` mixed in one forward
merged      a model of its own for each adapter, as open_clip runs it
open_clip   the base as open_clip runs it
onnxruntime, openvino   the base's image tower in that runtime, on a CPU: see `runtimes.py`

All of them run in turn, round after round, in one process; a turn is one batch, or as many as take TURN_SECONDS. Of the
merged and compiled models only MERGED_COPIES are held and used in turn: a copy is far larger than what the CPU keeps
near, so that more of them would take memory and no other time.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import Row, launches, side_by_side
from benchmarks.methods import lora_config, unpack_attention
from benchmarks.models import BATCH_SIZE, RandomImages, make_base
from benchmarks.serving import runtimes
from benchmarks.serving.deltas import random_rows, selected_rows
from benchmarks.serving.ways import Batch, Named, Work, rows_of
from saft_core.clip.backbone import Base
from saft_core.process import keep_memory
from saft_core.serving.encoder import IMAGE
from saft_core.serving.forward import Forward
from saft_core.serving.tower_graph import CompiledTower, TowerGraph
from saft_core.sparse import batch_delta
from saft_core.tuning.precision import autocast

MERGED_COPIES = 4
TURN_SECONDS = 0.5
WAYS = ("mixed", "selected", "swap", "compiled", "merged", "peft", "open_clip", *runtimes.RUNTIMES)


@dataclass(frozen=True)
class Subject:
    """What is measured, whatever the size of its batches: a base, adapters for it, and its image tower in other forms.

    tower: as ONNX. compiled: the base's, and those of the first adapters.
    """

    base: Base
    tenants: Sequence[batch_delta.Row]
    selected: Sequence[batch_delta.Row]
    tower: Path | None
    compiled: CompiledTowers | None


@dataclass(frozen=True)
class CompiledTowers:
    """As the engine compiles them: the base's, and those of MERGED_COPIES adapters; what the graph and a tower take."""

    base: CompiledTower
    adapters: Sequence[CompiledTower]
    graph_bytes: int

    @classmethod
    def of(cls, base: Base, tenants: Sequence[batch_delta.Row]) -> CompiledTowers:
        """Those of `base` and of the first of `tenants`."""
        graph = TowerGraph(base, torch.get_num_threads())
        adapters = [graph.compile(row) for row in tenants[:MERGED_COPIES]]
        return cls(graph.compile(batch_delta.Row(None)), adapters, graph.nbytes)

    def of_adapters(self, pixels: Tensor) -> Callable[[int], Work]:
        """Each tenant's pictures through its own tower, from the number of tenants."""

        def make(count: int) -> Work:
            pieces = list(enumerate(pixels.split(len(pixels) // count)))
            return lambda: torch.cat([self.adapters[n % len(self.adapters)](piece) for n, piece in pieces])

        return make

    def nbytes(self, adapters: int) -> int:
        """What the graph, the base's tower and so many adapters' take."""
        return self.graph_bytes + self.base.nbytes + adapters * self.adapters[0].nbytes


def rows(task: Row) -> list[Row]:
    """The rows of one model on one device; `task` has model, device, adapters (a list) and repeats.

    It may have `batches`, of how many images, and `ways`, those that are wanted.
    """
    keep_memory()  # as the API does
    base = make_base(task["model"], task["device"])
    with subject(base, max(task["adapters"]), wanted(task)) as made:
        return [row for size in task.get("batches", [BATCH_SIZE]) for row in rows_of_size(task, made, size)]


def wanted(task: Row) -> list[str]:
    """The ways that `task` asks for; other runtimes are for a CPU."""
    ways = task.get("ways", WAYS)
    return [way for way in ways if task["device"] == "cpu" or way not in ("compiled", *runtimes.RUNTIMES)]


@contextmanager
def subject(base: Base, adapters: int, ways: Sequence[str]) -> Iterator[Subject]:
    """The base with all that these ways need of it."""
    selected = selected_rows(base, adapters) if "selected" in ways else []
    with tempfile.TemporaryDirectory() as folder:
        tower = None
        if set(ways) & set(runtimes.RUNTIMES):
            tower = Path(folder) / "image.onnx"
            runtimes.export(runtimes.ImageTower(base), RandomImages(base, 1, 1).batch([0])[0], tower)
        tenants = random_rows(base, adapters)
        compiled = CompiledTowers.of(base, tenants) if "compiled" in ways else None
        yield Subject(base, tenants, selected, tower, compiled)


@torch.inference_mode()
def rows_of_size(task: Row, made: Subject, size: int) -> list[Row]:
    """The rows of batches of `size` images; as many adapters as images at most."""
    base = made.base
    pixels = RandomImages(base, size, 1).batch(range(size))[0]
    batch = Batch(Forward(base), IMAGE, pixels)
    works: dict[Named, Work] = {("base", 0): batch.base}
    notes: dict[Named, Row] = {("base", 0): {"memory_bytes": _bytes(base.model)}}
    ways = _ways(made, batch, wanted(task))
    for adapters in [count for count in task["adapters"] if count <= size]:
        for mode, (way, memory) in ways.items():
            works[mode, adapters] = way(adapters)
            notes[mode, adapters] = {"memory_bytes": memory(adapters)}
        if "mixed" in ways and "swap" in ways:
            off = (works["mixed", adapters]() - works["swap", adapters]()).abs().max()
            notes["mixed", adapters]["difference_to_swap"] = float(off)
    _add_of_the_base(works, notes, made, pixels, wanted(task))
    if task["device"] != "cpu":
        works["bfloat16", 0] = _in_bfloat16(base, pixels)
        notes["bfloat16", 0] = {}
        for name, work in works.items():
            notes[name] |= launches(work)
    turn = task.get("turn_seconds", TURN_SECONDS)
    measured = side_by_side(works, task["repeats"], task["device"], turn_seconds=turn)
    common = {"model": task["model"], "device": task["device"], "bench": "batch"}
    return rows_of(measured, notes, common, size, "images_per_second")


Way = tuple[Callable[[int], Work], Callable[[int], int]]


def _ways(made: Subject, batch: Batch, wanted: Sequence[str]) -> dict[str, Way]:
    """By mode: from a number of adapters to the work, and to the bytes that the models take."""
    base, pixels = made.base, batch.inputs
    size = _bytes(base.model)
    one = made.tenants[0].delta.nbytes if made.tenants[0].delta else 0

    def shared(adapters: int) -> int:
        return size + adapters * one

    ways: dict[str, Way] = {"swap": (lambda adapters: batch.swap(made.tenants[:adapters]), shared)}
    if batch.mixes:
        ways["mixed"] = (lambda adapters: batch.mixed(made.tenants[:adapters]), shared)
        ways["selected"] = (lambda adapters: batch.mixed(made.selected[:adapters]), shared)
    if made.compiled is not None:
        ways["compiled"] = (made.compiled.of_adapters(pixels), made.compiled.nbytes)
    if "merged" in wanted:
        ways["merged"] = (_merged(base, pixels), lambda adapters: adapters * size)
    if "peft" in wanted and isinstance(getattr(base.model.visual, "transformer", None), nn.Module):
        lora = _lora(base, pixels, len(made.tenants))
        ways["peft"] = (lora[0], lambda adapters: size + adapters * lora[1])
    # A convolutional tower has no queries and values that peft could adapt.
    return {mode: way for mode, way in ways.items() if mode in wanted}


def _add_of_the_base(
    works: dict[Named, Work], notes: dict[Named, Row], made: Subject, pixels: Tensor, wanted: Sequence[str]
) -> None:
    """Add the works of others with the base alone: open_clip's, and the runtimes'."""
    model: Any = made.base.model
    if "open_clip" in wanted:
        works["open_clip", 0] = lambda: model.encode_image(pixels, normalize=True)
        notes["open_clip", 0] = {"memory_bytes": _bytes(model)}
    if (compiled := made.compiled) is not None:
        works["compiled", 0] = lambda: compiled.base(pixels)
        off = float((works["compiled", 0]() - works["base", 0]()).abs().max())
        notes["compiled", 0] = {"memory_bytes": compiled.nbytes(0), "difference_to_base": off}
    if made.tower is None:
        return
    array = pixels.numpy()
    for mode, (encode, off) in runtimes.compiled(made.tower, array, works["base", 0]()).items():
        if mode in wanted:
            works[mode, 0] = lambda encode=encode: encode(array)  # type: ignore[misc]
            notes[mode, 0] = {"memory_bytes": made.tower.stat().st_size, "difference_to_base": off}


def _in_bfloat16(base: Base, pixels: Tensor) -> Work:
    """The base's forward as training runs it on a GPU; serving never does."""

    def work() -> Tensor:
        with autocast(base.device):
            return base.encode_pixels(pixels)

    return work


def _merged(base: Base, pixels: Tensor) -> Callable[[int], Work]:
    """Each tenant's images through its own copy of the image tower."""
    towers = [copy.deepcopy(base.model.visual) for _ in range(MERGED_COPIES)]

    def make(adapters: int) -> Work:
        pieces = list(enumerate(pixels.split(len(pixels) // adapters)))
        return lambda: [F.normalize(towers[n % MERGED_COPIES](piece), dim=-1) for n, piece in pieces]  # type: ignore[operator]

    return make


def _lora(base: Base, pixels: Tensor, adapters: int) -> tuple[Callable[[int], Work], int]:
    """peft over a tower whose attention has a linear layer each for queries and values; and the bytes of an adapter."""
    from peft import get_peft_model  # noqa: PLC0415 (an extra)

    tower: Any = copy.deepcopy(base.model.visual)
    unpack_attention(tower)
    config = lora_config()
    plain = _bytes(tower)
    model: Any = get_peft_model(tower, config, adapter_name="0")
    for number in range(1, adapters):
        model.add_adapter(str(number), config)
    model.to(pixels.device).eval()

    def make(count: int) -> Work:
        names = [str(row * count // len(pixels)) for row in range(len(pixels))]
        return lambda: F.normalize(model(pixels, adapter_names=names), dim=-1)

    return make, (_bytes(model) - plain) // adapters


def _bytes(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()])
