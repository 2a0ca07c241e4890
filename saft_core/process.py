"""What a process asks of the operating system."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1
_M_ARENA_MAX = -8


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def share_heap() -> None:
    """Have threads that are still to start allocate from the process's main heap (glibc; elsewhere nothing happens).

    A thread's own heap gives freed memory back to the kernel at once: with ViT-B/32 every forward of 16 images in a
    thread took 60,000 page faults, and a tenth longer, where the main heap takes none.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
