"""`make bench-gpu`: what the core costs on a CUDA device, into benchmarks/results/gpu.json.

Passes of the image tower by batch and adapters, each with the kernels that it starts and its peak memory; then
selection and a training step. Serving runs in float32 (convolutions in TF32, torch's default on a GPU), training in
bfloat16 where autocast has it. ViT-B-32 has random weights, which take the same time as any others.

ARGS=--quick   one batch size and one model, in about a minute
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile

import torch

from benchmarks import train
from benchmarks.measure import Row, alone, read, replaced, table, write
from benchmarks.models import EMBEDDED
from benchmarks.serving import batches

MODELS = ("ViT-B-32", EMBEDDED)
BATCHES = (1, 32, 256)
ADAPTERS = (1, 8, 32)
WAYS = ("mixed", "selected", "swap", "merged")
METHODS = ("paper", "saft", "forward")
CLASSES = 10
PASS = ("model", "device", "batch", "mode", "adapters")
PASS_COLUMNS = (
    *PASS, "p50_ms", "images_per_second", "to_base", "launches", "peak_mib", "difference_to_swap", "error"
)  # fmt: skip


def main() -> int:
    """Measure what the command line asks for."""
    options = _options()
    if options.one:
        print(json.dumps({"rows": batches.rows(json.loads(options.one))}))
        return 0
    if options.device == "cuda" and not torch.cuda.is_available():
        print("torch finds no CUDA device here, so nothing was measured", file=sys.stderr)
        return 1
    passes = read("gpu")
    for batch, model in itertools.product(options.batches, options.models):
        passes = replaced(passes, _passes(model, batch, options), PASS)
        path = write("gpu", passes)
    print(f"{table(passes, PASS_COLUMNS)}\n", flush=True)
    steps, selections = _training(options)
    write("gpu-train", steps + selections)
    print(f"{table(steps, train.COLUMNS)}\n\n{table(selections, train.SELECTION_COLUMNS)}\n\nwritten to {path}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-gpu ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ViT-B-32 and batches of 32 only")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.models, options.batches = [MODELS[0]], [32]
    return options


def _passes(model: str, batch: int, options: argparse.Namespace) -> list[Row]:
    """All ways of one batch of images; a batch of one cannot be mixed."""
    adapters = [count for count in ADAPTERS if count <= batch]
    ways = [way for way in WAYS if batch > 1 or way in ("swap", "merged")]
    shown = {"model": model, "device": options.device, "batch": batch}
    task = shown | {
        "batches": [batch], "adapters": adapters, "ways": ways, "repeats": options.repeats, "turn_seconds": 0.1,
    }  # fmt: skip
    answer = alone("benchmarks.gpu", task)
    print(f"passes of {model}, {batch} images: {answer.get('error', 'measured')}", flush=True)
    rows: list[Row] = answer.get("rows") or [shown | answer]
    return rows


def _training(options: argparse.Namespace) -> tuple[list[Row], list[Row]]:
    """Steps by each method, and selections, of each model."""
    steps: list[Row] = []
    selections: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            shown = {"model": model, "device": options.device, "classes": CLASSES}
            task = shown | {"mask": f"{folder}/{model}.npy", "repeats": options.repeats, "selection": "mean_gradient"}
            selections.append(train.selection_row(task))
            steps += train.step_rows(task, METHODS)
    return steps, selections


if __name__ == "__main__":
    sys.exit(main())
