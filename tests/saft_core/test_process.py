from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from saft_core.process import available_cpus, limit_threads

START = """
import ctypes, resource, sys, threading
from pathlib import Path
from saft_core.process import keep_memory

if sys.argv[1] == "kept":
    keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
"""

THREAD = """
def lies_in_heap():
    address = libc.malloc(5000)
    line = next(line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[heap]"))
    first, last = (int(end, 16) for end in line.split()[0].split("-"))
    print(first <= address < last)

threading.Thread(target=lies_in_heap).start()
"""

FAULTS = """
def faults(size=64 << 20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults() < 100)
"""

RELEASED = """
from saft_core.process import release_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

before = resident()
block, last = libc.malloc(64 << 20), libc.malloc(64)  # the last one keeps the heap from shrinking by itself
ctypes.memset(block, 1, 64 << 20)
libc.free(block)
kept = resident() - before
release_memory()
print(kept > 60 << 20 and resident() - before < 4 << 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_memory_that_is_kept_is_given_back_when_told_so() -> None:
    command = [sys.executable, "-c", START + RELEASED, "kept"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
@pytest.mark.parametrize("script", [THREAD, FAULTS], ids=["threads share the heap", "freed blocks are kept"])
@pytest.mark.parametrize(("mode", "answer"), [("kept", "True"), ("returned", "False")])
def test_memory_is_kept_if_told_so(script: str, mode: str, answer: str) -> None:
    command = [sys.executable, "-c", START + script, mode]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == answer


def test_the_collector_passes_over_what_was_there_before() -> None:
    script = (
        "import gc; from saft_core.process import uncollected\n"
        "with uncollected(): import json; print(gc.isenabled())\n"
        "print(gc.isenabled(), len(gc.get_objects()))"
    )
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    *enabled, left = answer.split()
    assert enabled == ["False", "True"]
    assert int(left) < 100


def version_1(folder: str, quota: int, period: int) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


def cgroups(folder: Path, membership: str, quotas: dict[str, str]) -> tuple[Path, Path]:
    """A tree as in /sys/fs/cgroup, and what /proc/self/cgroup says."""
    for name, text in quotas.items():
        file = folder / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "membership").write_text(membership)
    return folder / "cgroup", folder / "membership"


@pytest.mark.parametrize(
    ("membership", "quotas", "cpus"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "5000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("4:memory:/x\n2:cpu,cpuacct:/x\n", version_1("cpu/x", 400000, 100000), 4),
        ("2:cpu:/docker/1\n", version_1("cpu", 50000, 25000), 2),
        ("2:cpu:/x\n", version_1("cpu/x", -1, 100000), 64),
        ("0::/\n2:cpu:/\n", {}, 64),
    ],
)
def test_a_cgroups_quota_bounds_the_cpus(
    membership: str, quotas: dict[str, str], cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert available_cpus(*cgroups(tmp_path, membership, quotas)) == cpus


def test_affinity_bounds_the_cpus_and_the_threads_of_torch_and_numba(tmp_path: Path) -> None:
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from saft_core.process import available_cpus, limit_threads\n"
        "limit_threads(); import torch, numba\n"
        "print(available_cpus(), torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)"
    )
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    answer = subprocess.run([sys.executable, "-c", script], env=clean, check=True, capture_output=True, text=True)
    assert answer.stdout.split() == ["1", "1", "1"]


def test_threads_that_somebody_chose_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    limit_threads()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("7", str(available_cpus()))
