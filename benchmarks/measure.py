"""The frame of all benchmarks: one process for each figure, medians over repeats, peak memory, JSON and a table.

Peak memory is the high-water mark of the process's resident memory (VmHWM) while the repeats ran, less its resident
memory (VmRSS) just before the first of them, when the model and the data were loaded. Linux resets the mark on request
(/proc/self/clear_refs), so what loading needed for a moment is not counted. On a GPU it is the same difference of
torch's allocator. The first repeat warms up: it counts for memory and not for time.
"""

from __future__ import annotations

import ctypes
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

RESULTS = Path(__file__).parent / "results"
KIB = 1024
Row = dict[str, Any]
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Measured:
    """Median seconds of one call, its memory over what was loaded before, and the seconds of each repeat."""

    seconds: float
    peak_bytes: int
    repeats: list[float]


def measure(work: Callable[[], object], repeats: int, device: str = "cpu", *, warm: int = 1) -> Measured:
    """Time `work` `repeats` times after `warm` times that warm up."""
    before = _start_watching(device)
    seconds = [_timed(work, device) for _ in range(warm + repeats)]
    return Measured(statistics.median(seconds[warm:]), _peak(device) - before, seconds[warm:])


def side_by_side(
    works: Mapping[Name, Callable[[], object]], repeats: int, device: str = "cpu", *, turn_seconds: float = 0.0
) -> dict[Name, Measured]:
    """Time all `works` in turn, round after round, so that a slow minute of the machine hits them alike.

    A turn is as many runs as take `turn_seconds`, and counts as their mean: a single short run would tell what it takes
    to come after another work. The first of `repeats` + 1 rounds warms up. Memory is not measured: it is one process
    for all.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in works}
    for _ in range(1 + repeats):
        for name, work in works.items():
            seconds[name].append(_timed(work, device, turn_seconds))
    return {name: Measured(statistics.median(times[1:]), 0, times[1:]) for name, times in seconds.items()}


def launches(work: Callable[[], object]) -> Row:
    """Kernels that one run of `work` starts on the GPU, and MiB that it takes there over what is held before."""
    work()
    torch.cuda.synchronize()
    before = _start_watching("cuda")
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        work()
        torch.cuda.synchronize()
    started = sum(event.count for event in profile.key_averages() if "LaunchKernel" in event.key)
    return {"launches": started, "peak_mib": round((_peak("cuda") - before) / (KIB * KIB))}


def alone(module: str, arguments: Mapping[str, Any], timeout_seconds: float = 1800) -> Row:
    """What `python -m module --one ARGUMENTS` prints as its last line, a JSON object; an `error` if it died.

    A process of its own is what makes memory honest, and lets one that runs out of it be a row and not the end.
    """
    command = [sys.executable, "-m", module, "--one", json.dumps(arguments)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"longer than {timeout_seconds:.0f} s"}
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        return {"error": f"exit {ended.returncode}: {last[:200]}"}
    row: Row = json.loads(ended.stdout.strip().splitlines()[-1])
    return row


def write(name: str, rows: Sequence[Row]) -> Path:
    """All rows as results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(list(rows), indent=1) + "\n", "utf-8")
    return path


def read(name: str) -> list[Row]:
    """What `write` wrote last; nothing if it never did."""
    path = RESULTS / f"{name}.json"
    rows: list[Row] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    return rows


def replaced(rows: Sequence[Row], made: Sequence[Row], identity: Sequence[str]) -> list[Row]:
    """`rows` without those that `made` measures anew, and `made`; rows are the same if their `identity` columns are."""

    def name(row: Row) -> tuple[object, ...]:
        return tuple(row.get(column) for column in identity)

    anew = {name(row) for row in made}
    return sorted([*(row for row in rows if name(row) not in anew), *made], key=lambda row: name(row)[:3])


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """The named columns as aligned text."""
    cells = [list(columns), *([_text(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def machine(device: str) -> str:
    """The device in words."""
    if device != "cpu":
        return torch.cuda.get_device_name()
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return f"{names[0]}, {torch.get_num_threads()} threads" if names else "cpu"


def _timed(work: Callable[[], object], device: str, turn_seconds: float = 0.0) -> float:
    """Seconds of one run, the mean of as many as take `turn_seconds`."""
    started, runs, passed = time.perf_counter(), 0, 0.0
    while runs == 0 or passed < turn_seconds:
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        runs, passed = runs + 1, time.perf_counter() - started
    return passed / runs


def _start_watching(device: str) -> int:
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device != "cpu" else _status("VmHWM")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value)
