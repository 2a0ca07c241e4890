"""The state of trainings under way, one file a job, in the data folder that all workers share.

A file is replaced whole or not at all. It says nothing that the job's own worker does not know, and is gone when the
job ends; the sweeper takes what a crash at that moment left.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_JOB = re.compile(r"job_[0-9a-f]{32}")
SUFFIX = ".safetensors"


class CheckpointStore:
    """Checkpoints below `root`, by job id."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def load(self, job_id: str) -> bytes | None:
        """The latest state of the job; None if there is none."""
        try:
            return self._path(job_id).read_bytes()
        except FileNotFoundError:
            return None

    def save(self, job_id: str, state: bytes) -> None:
        """Replace the job's state. Survives a crash of the process and of the machine. Raises OSError."""
        path = self._path(job_id)
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._root, prefix=f"{job_id}-", suffix=".part", delete=False) as file:
            try:
                file.write(state)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def delete(self, job_id: str) -> None:
        """Forget the job's state, and what a crash left of writing it."""
        self._path(job_id).unlink(missing_ok=True)
        for part in self._root.glob(f"{job_id}-*.part"):
            part.unlink(missing_ok=True)

    def job_ids(self) -> Iterator[str]:
        """The jobs that have something here."""
        found = {path.name[: len("job_") + 32] for path in self._root.glob("job_*")}
        yield from (job_id for job_id in sorted(found) if _JOB.fullmatch(job_id))

    def _path(self, job_id: str) -> Path:
        if not _JOB.fullmatch(job_id):
            raise ValueError(f"{job_id!r} is not the id of a job")
        return self._root / f"{job_id}{SUFFIX}"
