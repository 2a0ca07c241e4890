"""A progress bar of a job for a terminal."""

from __future__ import annotations

import shutil
import sys
from types import TracebackType
from typing import TextIO

from saft_client.errors import shown
from saft_client.records import Job

WIDTH = 24


class ProgressBar:
    """A context manager: draws on `stream` (stderr, if nothing is said), and is silent where that is no terminal."""

    def __init__(self, shown: bool, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = shown and self._stream.isatty()
        self._drawn = 0

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()

    def show(self, job: Job) -> None:
        """Draw the line anew."""
        if not self._shown:
            return
        text = line(job)[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + text.ljust(self._drawn))
        self._stream.flush()
        self._drawn = len(text)


def line(job: Job) -> str:
    """Name, phase, bar, percent, loss and time left."""
    done = min(1.0, max(0.0, job.progress))
    filled = round(done * WIDTH)
    told = job.status if job.final else job.phase
    facts = [f"{shown(job.name)}: {shown(told):<10} [{'#' * filled}{'-' * (WIDTH - filled)}] {done:4.0%}"]
    if job.loss is not None:
        facts.append(f"loss {job.loss:.3f}")
    if job.eta_seconds is not None and not job.final:
        facts.append(f"{left(job.eta_seconds)} left")
    return "  ".join(facts)


def left(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `1 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
