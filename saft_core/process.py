"""What a process asks of the operating system."""

from __future__ import annotations

import ctypes
import gc
import signal
import sys

_PR_SET_PDEATHSIG = 1
# of glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_INT_MAX = 2**31 - 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def keep_memory() -> None:
    """Have this process keep the memory it frees, for all its threads (glibc; elsewhere nothing happens).

    The kernel takes back what is freed and gives it anew as pages of zeros, at a page fault each. A forward allocates
    the same activations every time: with ViT-B/32 a batch of 32 images took 105,000 faults and a tenth longer. So freed
    blocks go to the heap, whatever their size, the heap stays as large as it has been, and threads that are still to
    start share it, whose own heaps could not be told to.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for option, value in ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _INT_MAX)):
            libc.mallopt(option, value)


def freeze_objects() -> None:
    """Have the garbage collector pass over all objects there are now: call it when what stays for ever is made.

    Torch, SQLAlchemy and the page are 600,000 objects. A full pass over them held the interpreter's lock for 0.3 s, as
    often as requests made new ones: with 64 at once that was a third of all time in Python.
    """
    gc.collect()
    gc.freeze()
