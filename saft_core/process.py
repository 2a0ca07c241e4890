"""Settings of the process itself: CPUs, threads, memory, the garbage collector, and its end with its parent."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# of glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_INT_MAX = 2**31 - 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def available_cpus(cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """The number of CPUs that this process may use: those of its affinity, and at most its cgroups' quotas, rounded up.

    `os.cpu_count` counts all CPUs of the machine, of which a container may get two. `cgroups` is where version 2, or
    the controllers of version 1, are mounted; `membership` lists the cgroups of the process.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _cgroup_folders(cgroups, membership) if (quota := _cpu_quota(folder)) is not None]
    return max(1, min([affinity, *map(math.ceil, quotas)]))


def limit_threads() -> None:
    """Limit the threads of numeric libraries that are imported later to `available_cpus`, by environment variables.

    Threads that wait sleep: those of libgomp would spin, at the cost of other work on the same cores. Variables that
    are set already stay as they are.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, str(available_cpus()))


def _cgroup_folders(cgroups: Path, membership: Path) -> Iterator[Path]:
    """The cgroups that limit CPU time, from the process's own up to the root; the smallest quota counts.

    Where version 1 runs a container, its own cgroup is mounted as the root and the path it is told does not exist.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups
        folder = root / path.lstrip("/")
        yield from (folder, *(parent for parent in folder.parents if parent.is_relative_to(root)))


def _cpu_quota(folder: Path) -> float | None:
    """The quota of a cgroup in CPUs; None without a limit."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            return int(quota) / int(period) if int(quota) > 0 else None
        except (OSError, ValueError):  # not this version's, or "max"
            continue
    return None


def keep_memory() -> None:
    """Have the allocator keep freed memory for all threads of this process (glibc only).

    The kernel takes back what is freed and gives it anew as pages of zeros, at a page fault each. A forward allocates
    the same activations every time: with ViT-B/32 a batch of 32 images took 105,000 faults and a tenth longer. So freed
    blocks go to the heap, whatever their size, the heap stays as large as it has been, and threads that are still to
    start share it, whose own heaps could not be told to.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for option, value in ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _INT_MAX)):
            libc.mallopt(option, value)


def release_memory() -> None:
    """Give what is freed back to the kernel, once, in a process that otherwise keeps it (glibc only)."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@contextmanager
def uncollected() -> Iterator[None]:
    """A context for imports: the garbage collector is off, and ignores all objects that exist at the end.

    Otherwise it would scan what the imports make again and again, a fifth of the CPU time of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        freeze_objects()
        gc.enable()


def freeze_objects() -> None:
    """Have the garbage collector ignore all objects that exist now; call it when the long-lived ones are made.

    Torch, SQLAlchemy and the page are 800,000 objects. A full pass over them held the interpreter's lock for 0.3 s, as
    often as requests made new ones: with 64 at once that was a third of all time in Python. Garbage among them stays
    too: one in a hundred after a start, 2 MB, for which nobody should wait those 0.3 s.
    """
    gc.freeze()
