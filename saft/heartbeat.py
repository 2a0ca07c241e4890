"""Heartbeats of processes without a socket: each touches a file of its own, named by its process id."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

INTERVAL_SECONDS = 1.0


def beat(folder: Path) -> None:
    """Touch this process's file in `folder` every INTERVAL_SECONDS, for as long as the process runs threads."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / str(os.getpid())
    file.touch()
    threading.Thread(target=_beat_for_ever, args=(file,), name="heartbeat", daemon=True).start()


def _beat_for_ever(file: Path) -> None:
    while True:
        time.sleep(INTERVAL_SECONDS)
        with contextlib.suppress(OSError):  # a full disk stops no training
            file.touch()


def clear(folder: Path) -> None:
    """Delete the files of earlier processes: other processes may have their ids by now."""
    for file in folder.glob("*"):
        file.unlink(missing_ok=True)


async def probe(folder: Path, within_seconds: float) -> None:
    """The health check: raise TimeoutError unless a process is alive, and each that is has touched its file in time.

    The files of dead processes are deleted.
    """
    files = list(folder.glob("*"))
    living = [file for file in files if _is_alive(int(file.name))]
    for file in set(files) - set(living):
        file.unlink(missing_ok=True)
    if not living or max(time.time() - file.stat().st_mtime for file in living) > within_seconds:
        raise TimeoutError(f"no heartbeat in {folder}")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
