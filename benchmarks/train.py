"""`make bench-train`: seconds and memory of one training step, side by side, and of selection.

ARGS=--quick      ViT-B/32 on the CPU only
ARGS="--models embedded --classes 10 --repeats 5" and so on; the rows of others in benchmarks/results stay
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.measure import Measured, Row, alone, launches, machine, measure, read, replaced, table, write
from benchmarks.methods import METHODS, config
from benchmarks.models import BATCH_SIZE, MODELS, RandomImages, labels, make_base
from saft_core.clip.backbone import Base
from saft_core.tuning.class_prompts import ClassPrompts
from saft_core.tuning.progress import WorkMeter
from saft_core.tuning.strategies import select_for

TASK = ("device", "model", "classes")
COLUMNS = (
    "model", "device", "classes", "method", "seconds_per_step", "speed_to_paper", "time_to_forward", "peak_mib",
    "memory_to_paper", "launches", "error",
)  # fmt: skip
SELECTION_COLUMNS = ("model", "device", "classes", "seconds", "seconds_of_epoch", "to_epoch", "peak_mib", "error")
SELECTION_IMAGES = 64
MIB = 1 << 20


def main() -> None:
    """Measure what the command line asks for."""
    options = _options()
    if options.one:
        print(json.dumps(_one(json.loads(options.one))))
        return
    steps, selections = read(options.name), read(f"{options.name}-selection")
    with tempfile.TemporaryDirectory() as folder:
        for shown in _tasks(options):
            mask = f"{folder}/{shown['model']}-{shown['device']}-{shown['classes']}.npy"
            task = shown | {"mask": mask, "repeats": options.repeats, "selection": options.selection}
            selections = replaced(selections, [selection_row(task)], TASK)
            steps = replaced(steps, step_rows(task, options.methods), (*TASK, "method"))
            write(f"{options.name}-selection", selections)
            path = write(options.name, steps)
    print(f"\n{table(steps, COLUMNS)}\n\n{table(selections, SELECTION_COLUMNS)}\n\nwritten to {path}")


def _tasks(options: argparse.Namespace) -> Iterator[Row]:
    devices = ("cpu", "cuda") if torch.cuda.is_available() and not options.quick else ("cpu",)
    models = ("ViT-B-32",) if options.quick else options.models
    for device, model, classes in itertools.product(devices, models, options.classes):
        yield {"model": model, "device": device, "classes": classes}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-train ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ViT-B/32 on the CPU only")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--classes", nargs="+", type=int, default=[10, 100])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--selection", default="mean_gradient", help="what chooses the mask; random spreads it")
    parser.add_argument("--name", default="train", help="name of the file in benchmarks/results")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def selection_row(task: Row) -> Row:
    """Selection, which leaves the mask that the methods with one take."""
    row = _shown(task) | alone("benchmarks.train", task | {"method": "selection"})
    if "peak_bytes" in row:
        row["peak_mib"] = round(row["peak_bytes"] / MIB)
    print("selection", row, flush=True)
    return row


def step_rows(task: Row, methods: Sequence[str]) -> list[Row]:
    """A row for each method, with what it is to the paper's listing and to the bare forward."""
    nothing = {"seconds_per_step": None, "peak_bytes": None}
    rows = {}
    for method in methods:
        measured = alone("benchmarks.train", task | {"method": method})
        rows[method] = _shown(task) | {"method": method} | nothing | measured
        print(method, measured, flush=True)
    for row in rows.values():
        _compare(row, rows.get("paper", nothing), rows.get("forward", nothing))
    return list(rows.values())


def _shown(task: Row) -> Row:
    return {name: task[name] for name in TASK}


def _compare(row: Row, paper: Row, forward: Row) -> None:
    if row["seconds_per_step"] is None:
        return
    row["peak_mib"] = round(row["peak_bytes"] / MIB)
    if paper["seconds_per_step"] is not None:
        row["speed_to_paper"] = round(paper["seconds_per_step"] / row["seconds_per_step"], 3)
        row["memory_to_paper"] = round(row["peak_bytes"] / paper["peak_bytes"], 3)
    if forward["seconds_per_step"] is not None:
        row["time_to_forward"] = round(row["seconds_per_step"] / forward["seconds_per_step"], 3)


def _one(task: Row) -> Row:
    """One figure, in this process."""
    base = make_base(task["model"], task["device"])
    if task["method"] == "selection":
        return _selection(base, task)
    loader = RandomImages(base, 2 * BATCH_SIZE, task["classes"])
    step = METHODS[task["method"]](base, loader, task["classes"], np.load(task["mask"]))
    measured = measure(step, task["repeats"], task["device"])
    started = launches(step)["launches"] if task["device"] != "cpu" else None
    return {"seconds_per_step": measured.seconds, "launches": started} | _result(task, measured)


def _selection(base: Base, task: Row) -> Row:
    """Selection over an epoch, and that epoch's forward and backward alone: steps with all gradients, no optimizer."""
    classes = labels(task["classes"])
    loader = RandomImages(base, SELECTION_IMAGES, task["classes"])
    meter = WorkMeter(lambda _: None)
    settings = replace(config(), selection=task["selection"])
    np.save(task["mask"], select_for(base, loader, classes, settings, meter))
    epoch = measure(lambda: _epoch(base, loader, classes), 1, task["device"], warm=0)
    selection = measure(lambda: select_for(base, loader, classes, settings, meter), 1, task["device"], warm=0)
    times = {"seconds": selection.seconds, "seconds_of_epoch": epoch.seconds}
    return times | {"to_epoch": selection.seconds / epoch.seconds, "images": len(loader)} | _result(task, selection)


def _epoch(base: Base, loader: RandomImages, classes: tuple[str, ...]) -> None:
    """Forward and backward of each batch with its prompts, at the length they have."""
    slots = np.ones(len(base.flat.slots), dtype=bool)
    with torch.enable_grad(), base.flat.trainable(slots), base.flat.gradient():
        for start in range(0, len(loader), BATCH_SIZE):
            pixels, targets = loader.batch(range(start, start + BATCH_SIZE))
            prompts = ClassPrompts(base, classes, config().template)
            texts = prompts.encode()
            scores = base.logit_scale * base.encode_pixels(pixels) @ texts.T
            torch.nn.functional.cross_entropy(scores, targets).backward()
            prompts.backward(texts)


def _result(task: Row, measured: Measured) -> Row:
    return {
        "peak_bytes": measured.peak_bytes, "repeats": [round(one, 4) for one in measured.repeats],
        "machine": machine(task["device"]), "torch": torch.__version__, "batch_size": BATCH_SIZE,
    }  # fmt: skip


if __name__ == "__main__":
    main()
