"""`make bench-serve`: what many adapters, many registered tenants and HTTP cost, side by side, with a table and a plot.

ARGS=--quick                        both models on the CPU only, fewer and shorter repeats
ARGS="--benches http --repeats 5"   some figures anew; the rows of the others in results/serve.json stay
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from benchmarks.measure import Row, alone, read, replaced, table, write
from benchmarks.models import BATCH_SIZE, EMBEDDED, make_base
from benchmarks.serving import batches, comparison, neighbours, over_http, registered, texts
from benchmarks.serving.deltas import random_loaded
from benchmarks.serving.plot import PLOT, draw
from saft_core.process import limit_threads

SHOWN = "serve"
MODELS = ("ViT-B-32", EMBEDDED)
SIZES = ("ViT-B-32", "ViT-B-16")
"""Models whose adapters are made to see what they take in memory."""
REGISTERED, QUICK_REGISTERED = [10, 100, 1000, 10_000], [10, 10_000]
COMMON = {"batches": [1, BATCH_SIZE]}
THOROUGH = {
    "adapters": [1, 2, 8, 32], "concurrency": [1, 16, 64], "rounds": 3, "requests": 160, "seconds": 5,
    "turn_seconds": 0.5, "repeats": 5,
}  # fmt: skip
QUICK = {
    "adapters": [1, 32], "concurrency": [1, 64], "rounds": 1, "requests": 80, "seconds": 4, "turn_seconds": 0.3,
    "repeats": 2,
}  # fmt: skip
BENCHES: dict[str, Callable[[Row], list[Row]]] = {
    "batch": batches.rows, "texts": texts.rows, "registered": registered.rows, "http": over_http.rows,
    "neighbours": neighbours.rows,
}  # fmt: skip
IDENTITY = ("device", "model", "bench", "batch", "mode", "via", "adapters", "concurrency")
"""What makes two rows figures of the same thing."""
COLUMNS = {
    "batch": ("model", "device", "batch", "mode", "adapters", "images_per_second", "p50_ms", "to_base", "to_swap",
              "vs_onnxruntime", "memory_bytes", "error"),
    "texts": ("model", "device", "batch", "mode", "adapters", "texts_per_second", "p50_ms", "to_base", "to_swap",
              "vs_onnxruntime", "error"),
    "registered": ("model", "device", "adapters", "images_per_second", "p50_ms", "p95_ms", "adapter_hit_rate",
                   "class_weights_hit_rate", "mixed_share", "compiled_share", "adapter_bytes", "error"),
    "cold": ("model", "device", "adapters", "p50_ms", "p95_ms", "read_ms", "decode_ms", "load_ms",
             "container_bytes", "error"),
    "http": ("model", "device", "via", "concurrency", "images_per_second", "p50_ms", "p95_ms", "error"),
    "neighbours": ("model", "device", "mode", "p50_ms", "p95_ms", "ratio", "images_per_second", "error"),
}  # fmt: skip


def main() -> None:
    """Measure what the command line asks for."""
    options = _options()
    if options.one:
        task = json.loads(options.one)
        print(json.dumps({"rows": _one(task)}))
        return
    limit_threads()  # of the processes that measure, as `saft api` limits its own
    rows = read(options.name)
    for task in _tasks(options):
        started = time.monotonic()
        answer = alone("benchmarks.serve", task)
        shown = {name: task[name] for name in ("model", "device", "bench")}
        made = answer.get("rows") or [shown | answer]
        rows = replaced(rows, made, IDENTITY)
        path = write(options.name, rows)
        print(f"\n{_tables(made)}\n{' '.join(shown.values())}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"\n{_tables(rows)}\n\n{comparison.markdown(rows)}\n\nwritten to {path}")
    if options.name == SHOWN:
        draw(rows, PLOT)
        comparison.write_into(comparison.PAGE, rows)
        print(f"drawn as {PLOT}, the table written into {comparison.PAGE}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-serve ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="on the CPU only, fewer and shorter repeats")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--devices", nargs="+", default=["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
    parser.add_argument("--benches", nargs="+", default=list(BENCHES), choices=list(BENCHES))
    parser.add_argument("--registered", nargs="+", type=int, help="numbers of registered adapters")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--name", default=SHOWN, help="of the file in benchmarks/results; docs show `serve`")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.registered = options.registered or (QUICK_REGISTERED if options.quick else REGISTERED)
    if options.quick:
        options.devices = ["cpu"]
    return options


def _tasks(options: argparse.Namespace) -> Iterator[Row]:
    common = COMMON | {"registered": options.registered} | (QUICK if options.quick else THOROUGH)
    if options.repeats:
        common["repeats"] = options.repeats
    for device, model, bench in itertools.product(options.devices, options.models, options.benches):
        yield {"model": model, "device": device, "bench": bench} | common
    if "registered" in options.benches:
        for model in SIZES:
            yield {"model": model, "device": "cpu", "bench": "size"}


def _one(task: Row) -> list[Row]:
    """The rows of one bench, in this process."""
    if task["bench"] == "size":
        return [_size(task["model"])]
    return BENCHES[task["bench"]](task)


def _size(model: str) -> Row:
    """What one adapter of `model` takes in memory."""
    delta = random_loaded(make_base(model), 0)
    return {
        "model": model, "device": "cpu", "bench": "registered", "mode": "mixed", "adapters": 1,
        "adapter_bytes": delta.nbytes, "entries": len(delta),
    }  # fmt: skip


def _tables(rows: Sequence[Row]) -> str:
    """One table for each kind of figure."""
    parts = {bench: [row for row in rows if row["bench"] == bench] for bench in COLUMNS}
    return "\n\n".join(f"{bench}\n{table(part, COLUMNS[bench])}" for bench, part in parts.items() if part)


if __name__ == "__main__":
    main()
