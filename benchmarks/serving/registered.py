"""bench=registered and bench=cold: an engine over a database of many adapters, asked by Zipf's law.

The engine is the product's own, made by its composition root, loading from PostgreSQL. First every adapter that the
cache has room for is asked for once, the least popular first: what a service has done before long. Then CALLERS ask
without a pause, one image a request, in turn for 10, 100, 1,000 and 10,000 registered adapters, round after round. A
request is what `/classify` does by default: the image through the adapter, and its own classes, whose embeddings are
stored with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch

from benchmarks.measure import Row, machine, side_by_side
from benchmarks.models import EMBEDDED, TEMPLATE, labels
from benchmarks.serving.deltas import CLASSES, random_loaded
from benchmarks.serving.load import Window, closed_loop, figures, zipf
from benchmarks.serving.pictures import picture
from benchmarks.serving.registry import Registry, registry
from saft.wiring import create_services
from saft_core.serving.adapters import StoredAdapter, load_adapter, read_adapter
from saft_core.serving.engine import Engine
from saft_core.store import deltas

CALLERS = 16
COLD_LOADS = 50
MORE_REQUESTS = 6
"""So many times as many to the embedded base, for it answers so much faster."""


def rows(task: Row) -> list[Row]:
    """The rows of one model on one device; `task` has model, device, registered (a list), requests and repeats."""
    machine_in_words = machine(task["device"])
    torch.set_num_threads(1)  # as create_server does: the engine's thread has its own
    with registry(task["model"], task["device"], max(task["registered"])) as filled:
        services = create_services(filled.settings)
        common = {name: task[name] for name in ("model", "device")} | {"machine": machine_in_words}
        cold = common | _cold(services.engine, filled)
        services.engine.warm_up()
        services.engine.calibrate().result()
        try:
            return [cold, *(common | row for row in _registered(services.engine, filled, task))]
        finally:
            services.engine.close()


def _cold(engine: Engine, filled: Registry) -> Row:
    """From the database to memory, one adapter after another, each read for the first time."""
    flat, sessions, limit = engine.base.flat, filled.sessions, filled.settings.limits.max_delta_bytes
    found: dict[str, deltas.Stored] = {}
    decoded: dict[str, StoredAdapter] = {}
    wanted = filled.adapter_ids[-COLD_LOADS - 1 :]  # one more: the first round warms up
    unread = iter(wanted)

    def read() -> None:
        found["adapter"] = deltas.load(sessions, next(unread))

    def unpack() -> None:
        decoded["adapter"] = read_adapter(*found["adapter"], max_bytes=limit)

    def keep() -> None:
        load_adapter(decoded["adapter"], flat)

    parts = side_by_side({"read": read, "decode": unpack, "load": keep}, len(wanted) - 1)
    loads = [sum(times) for times in zip(*(part.repeats for part in parts.values()), strict=True)]
    whole = figures([Window(sum(loads), loads)])
    return {
        "bench": "cold", "adapters": len(filled.adapter_ids), "p50_ms": whole["p50_ms"], "p95_ms": whole["p95_ms"],
        **{f"{name}_ms": round(part.seconds * 1000, 2) for name, part in parts.items()},
        "container_bytes": filled.container_bytes,
    }  # fmt: skip


def _registered(engine: Engine, filled: Registry, task: Row) -> list[Row]:
    delta_bytes = random_loaded(engine.base, 0).nbytes
    classes = labels(CLASSES)
    pictures = [picture(seed) for seed in range(CALLERS)]

    def ask(number: int) -> None:
        engine.classify(filled.adapter_ids[number], [pictures[number % len(pictures)]], classes, TEMPLATE)

    held = min(max(task["registered"]), engine.limits.cache_bytes // delta_bytes)
    started = time.perf_counter()
    closed_loop(ask, reversed(range(held)), 2 * CALLERS)
    print(f"warm: {held} adapters in {time.perf_counter() - started:.0f} s", flush=True)
    requests = task["requests"] * (MORE_REQUESTS if task["model"] == EMBEDDED else 1)
    windows: dict[int, list[Window]] = {count: [] for count in task["registered"]}
    counts: dict[int, list[Mapping[str, int]]] = {count: [] for count in task["registered"]}
    for repeat in range(task["repeats"]):
        for count in task["registered"]:
            before = engine.counters()
            drawn = zipf(count, requests, seed=repeat)
            windows[count].append(closed_loop(ask, drawn, CALLERS))
            after = engine.counters()
            counts[count].append({name: after[name] - before[name] for name in after})
    return [
        {
            "bench": "registered", "mode": "mixed", "adapters": count, "concurrency": CALLERS,
            **figures(windows[count]), **hit_rates(counts[count]), "adapter_bytes": delta_bytes,
        }
        for count in task["registered"]
    ]  # fmt: skip


def hit_rates(counts: Sequence[Mapping[str, int]]) -> Row:
    """The share of lookups that memory answered, and the share of rows that went by each route, over all windows."""

    def total(name: str) -> int:
        return sum(one[name] for one in counts)

    rates = {
        f"{shown}_hit_rate": round(total(f"{name}_hits") / max(total(f"{name}_hits") + total(f"{name}_loads"), 1), 4)
        for shown, name in (("adapter", "delta"), ("class_weights", "class_weights"))
    }
    routed = sum(total(name) for name in (counts[0] if counts else ()) if name.startswith("rows_"))
    shares = {f"{way}_share": round(total(f"rows_{way}") / max(routed, 1), 4) for way in ("mixed", "compiled")}
    return rates | shares
