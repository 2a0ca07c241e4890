"""Checkpoints of trainings under way, one file for each attempt, in a folder that all workers share.

A file is replaced whole or not at all. Its name contains the attempt, so a worker that lost its lease without knowing
cannot overwrite the checkpoint of its successor; the highest attempt counts. Checkpoints are deleted when the job ends,
and the sweeper deletes those that a crash left.
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
    """Checkpoints below `root`, by job id and attempt."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def load(self, job_id: str) -> bytes | None:
        """The checkpoint of the job's highest attempt; None if there is none. Raises OSError."""
        try:
            return max(self._states(job_id)).read_bytes()
        except (FileNotFoundError, ValueError):
            return None

    def save(self, job_id: str, attempt: int, state: bytes) -> None:
        """Write the checkpoint of this attempt durably, and delete those of earlier attempts.

        Raises OSError.
        """
        path = self._path(job_id, attempt)
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
        for earlier in self._states(job_id):
            if earlier < path:
                earlier.unlink(missing_ok=True)

    def delete(self, job_id: str) -> None:
        """Delete all checkpoints of the job, half-written ones included."""
        for path in self._root.glob(f"{_checked(job_id)}*"):
            path.unlink(missing_ok=True)

    def job_ids(self) -> Iterator[str]:
        """The ids of the jobs that have files, in order."""
        found = {path.name[: len("job_") + 32] for path in self._root.glob("job_*")}
        yield from (job_id for job_id in sorted(found) if _JOB.fullmatch(job_id))

    def _states(self, job_id: str) -> list[Path]:
        """The job's checkpoints; their names sort by attempt."""
        return list(self._root.glob(f"{_checked(job_id)}-*{SUFFIX}"))

    def _path(self, job_id: str, attempt: int) -> Path:
        return self._root / f"{_checked(job_id)}-{attempt:06d}{SUFFIX}"


def _checked(job_id: str) -> str:
    if not _JOB.fullmatch(job_id):
        raise ValueError(f"{job_id!r} is not the id of a job")
    return job_id
