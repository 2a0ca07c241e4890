"""bench=batch: one batch of images (32) by each way of serving several adapters.

base     the base's forward, no adapter
mixed    one forward in which each row has its own adapter, on random places
selected the same, all on the places that a training selects
swap     one forward for each adapter, written into the base and taken out again
peft     peft's LoRA of rank 2 on queries and values, `adapter_names` mixed in one forward
merged   a model of its own for each adapter

All of them run in turn, round after round, in one process; a turn is one batch, or as many as take TURN_SECONDS. Of the
merged models only MERGED_COPIES are held and used in turn: a copy is far larger than what the CPU keeps near, so that
more of them would take memory and no other time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import Row, launches, machine, side_by_side
from benchmarks.methods import lora_config, unpack_attention
from benchmarks.models import BATCH_SIZE, RandomImages, make_base
from benchmarks.serving.deltas import random_rows, selected_rows
from saft_core.clip.backbone import Base
from saft_core.process import keep_memory
from saft_core.serving.encoder import IMAGE
from saft_core.serving.forward import Forward, Part
from saft_core.sparse import batch_delta
from saft_core.tuning.precision import autocast

MERGED_COPIES = 4
TURN_SECONDS = 0.5
WAYS = ("mixed", "selected", "swap", "merged", "peft")
Work = Callable[[], Any]


def rows(task: Row) -> list[Row]:
    """The rows of one model on one device; `task` has model, device, adapters (a list) and repeats.

    It may have a `batch`, of how many images, and `ways`, those that are wanted.
    """
    keep_memory()  # as the API does
    base = make_base(task["model"], task["device"])
    selected = selected_rows(base, max(task["adapters"])) if "selected" in task.get("ways", WAYS) else []
    return _rows(task, base, selected)


@torch.inference_mode()
def _rows(task: Row, base: Base, selected: Sequence[batch_delta.Row]) -> list[Row]:
    size = task.get("batch", BATCH_SIZE)
    pixels = RandomImages(base, size, 1).batch(range(size))[0]
    tenants = random_rows(base, max(task["adapters"]))
    works: dict[tuple[str, int], Work] = {("base", 0): lambda: base.encode_pixels(pixels)}
    notes: dict[tuple[str, int], Row] = {("base", 0): {"memory_bytes": _bytes(base.model)}}
    ways = _ways(base, pixels, tenants, selected, task.get("ways", WAYS))
    for adapters in task["adapters"]:
        for mode, (way, memory) in ways.items():
            works[mode, adapters] = way(adapters)
            notes[mode, adapters] = {"memory_bytes": memory(adapters)}
        if "mixed" in ways and "swap" in ways:
            off = (works["mixed", adapters]() - works["swap", adapters]()).abs().max()
            notes["mixed", adapters]["difference_to_swap"] = float(off)
    if task["device"] != "cpu":
        works["bfloat16", 0] = _in_bfloat16(base, pixels)
        notes["bfloat16", 0] = {}
        for name, work in works.items():
            notes[name] |= launches(work)
    seconds = side_by_side(works, task["repeats"], task["device"], turn_seconds=task.get("turn_seconds", TURN_SECONDS))
    common = {"model": task["model"], "device": task["device"], "bench": "batch"}
    made = [
        common
        | {"mode": mode, "adapters": adapters, "batch": size}
        | {"images_per_second": round(size / measured.seconds, 3), "p50_ms": round(measured.seconds * 1000, 2)}
        | notes[mode, adapters]
        | {"repeats": [round(one, 4) for one in measured.repeats], "machine": machine(task["device"])}
        for (mode, adapters), measured in seconds.items()
    ]
    return with_ratios(made)


def with_ratios(made: Sequence[Row]) -> list[Row]:
    """The rows with their throughput over that of the base, and of swap with as many adapters."""
    rates = {(row["mode"], row["adapters"]): row["images_per_second"] for row in made}
    return [
        row
        | {"to_base": round(row["images_per_second"] / rates["base", 0], 3)}
        | (
            {"to_swap": round(row["images_per_second"] / rates["swap", row["adapters"]], 3)}
            if ("swap", row["adapters"]) in rates
            else {}
        )
        for row in made
    ]


Way = tuple[Callable[[int], Work], Callable[[int], int]]


def _ways(
    base: Base,
    pixels: Tensor,
    tenants: Sequence[batch_delta.Row],
    selected: Sequence[batch_delta.Row],
    wanted: Sequence[str],
) -> dict[str, Way]:
    """By mode: from a number of adapters to the work, and to the bytes that the models take."""
    forward = Forward(base)
    size = _bytes(base.model)
    one = tenants[0].delta.nbytes if tenants[0].delta else 0

    def shared(adapters: int) -> int:
        return size + adapters * one

    def mixed(tenants: Sequence[batch_delta.Row]) -> Callable[[int], Work]:
        def make(adapters: int) -> Work:
            parts = _parts(pixels, tenants[:adapters], 1)
            return lambda: torch.cat(list(forward.run_pass(IMAGE, parts, range(len(parts)), mixed=True).values()))

        return make

    def swap(adapters: int) -> Work:
        parts = _parts(pixels, tenants[:adapters], len(pixels) // adapters)

        def work() -> Tensor:
            found = torch.cat([forward.run_pass(IMAGE, parts, [n], mixed=False)[n] for n in range(len(parts))])
            forward.unmerge()
            return found

        return work

    ways: dict[str, Way] = {
        "mixed": (mixed(tenants), shared),
        "selected": (mixed(selected), shared),
        "swap": (swap, shared),
        "merged": (_merged(base, pixels), lambda adapters: adapters * size),
    }
    if "peft" in wanted and isinstance(getattr(base.model.visual, "transformer", None), nn.Module):
        lora = _lora(base, pixels, len(tenants))
        ways["peft"] = (lora[0], lambda adapters: size + adapters * lora[1])
    # A convolutional tower has no queries and values that peft could adapt.
    return {mode: way for mode, way in ways.items() if mode in wanted}


def _in_bfloat16(base: Base, pixels: Tensor) -> Work:
    """The base's forward as training runs it on a GPU; serving never does."""

    def work() -> Tensor:
        with autocast(base.device):
            return base.encode_pixels(pixels)

    return work


def _parts(pixels: Tensor, tenants: Sequence[batch_delta.Row], rows: int) -> list[Part]:
    """The pixels in pieces of so many rows, equal shares to each tenant, a tenant's pieces side by side."""
    share = len(pixels) // len(tenants)
    return [
        Part((str(start // share), 1.0), tenants[start // share], pixels[start : start + rows])
        for start in range(0, len(pixels), rows)
    ]


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
