"""The most memory that a piece of work held."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Peak:
    """From its making on: of the GPU where the work is on one, else of the process (Linux; 0 where nothing tells)."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif _CLEAR.exists():
            with contextlib.suppress(AttributeError):  # another C library than glibc
                ctypes.CDLL(None).malloc_trim(0)  # what earlier work has freed, but the process still holds
            _CLEAR.write_text("5")  # forgets the high-water mark (proc(5))

    @property
    def bytes(self) -> int:
        """The most so far."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        if not _STATUS.exists():
            return 0
        line = next(line for line in _STATUS.read_text("ascii").splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
