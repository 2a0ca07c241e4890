"""The state of trainings under way, one file an attempt, in the data folder that all workers share.

A file is replaced whole or not at all. Its name holds the attempt: a worker that lost its job without knowing writes
beside its heir's state, never over it, and the highest attempt is the one that counts. A state says nothing that the
job's own worker does not know, and is gone when the job ends; the sweeper takes what a crash at that moment left.
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
        """The state of the job's latest attempt that left one; None if none did."""
        try:
            return max(self._states(job_id)).read_bytes()
        except (FileNotFoundError, ValueError):
            return None

    def save(self, job_id: str, attempt: int, state: bytes) -> None:
        """Replace the state of this attempt and the earlier ones. Survives a crash of the process and of the machine.

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
        """Forget the job's states, and what a crash left of writing them."""
        for path in self._root.glob(f"{_checked(job_id)}*"):
            path.unlink(missing_ok=True)

    def job_ids(self) -> Iterator[str]:
        """The jobs that have something here."""
        found = {path.name[: len("job_") + 32] for path in self._root.glob("job_*")}
        yield from (job_id for job_id in sorted(found) if _JOB.fullmatch(job_id))

    def _states(self, job_id: str) -> list[Path]:
        """The job's files, whose names sort as the attempts do."""
        return list(self._root.glob(f"{_checked(job_id)}-*{SUFFIX}"))

    def _path(self, job_id: str, attempt: int) -> Path:
        return self._root / f"{_checked(job_id)}-{attempt:06d}{SUFFIX}"


def _checked(job_id: str) -> str:
    if not _JOB.fullmatch(job_id):
        raise ValueError(f"{job_id!r} is not the id of a job")
    return job_id
