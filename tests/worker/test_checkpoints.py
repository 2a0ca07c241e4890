from __future__ import annotations

from pathlib import Path

import pytest

from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.models import new_id
from worker.checkpoints import JobCheckpoints
from worker.lease import LeaseLost

JOB = new_id("job")


def checkpoints(root: Path, interval_seconds: float = 1000, attempt: int = 1) -> JobCheckpoints:
    return JobCheckpoints(CheckpointStore(root), JOB, attempt, interval_seconds, lambda: None)


def test_a_state_is_due_after_the_interval(tmp_path: Path) -> None:
    assert not checkpoints(tmp_path).due()
    assert checkpoints(tmp_path, interval_seconds=0).due()


def test_what_one_worker_saved_another_loads(tmp_path: Path) -> None:
    assert checkpoints(tmp_path).load() is None
    checkpoints(tmp_path).save(b"state")
    assert checkpoints(tmp_path).load() == b"state"


def test_a_worker_that_lost_its_job_writes_nothing(tmp_path: Path) -> None:
    def lost() -> None:
        raise LeaseLost

    checkpoints(tmp_path).save(b"the heir's")
    with pytest.raises(LeaseLost):
        JobCheckpoints(CheckpointStore(tmp_path), JOB, 2, 1, lost).save(b"mine")
    assert checkpoints(tmp_path).load() == b"the heir's"


def test_a_worker_that_does_not_know_that_it_lost_its_job_leaves_its_heirs_state(tmp_path: Path) -> None:
    checkpoints(tmp_path, attempt=2).save(b"the heir's")
    checkpoints(tmp_path, attempt=1).save(b"late")
    assert checkpoints(tmp_path, attempt=3).load() == b"the heir's"


def test_a_disk_that_does_not_take_it_costs_the_checkpoint_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    broken = checkpoints(tmp_path / "file")
    broken.save(b"state")
    assert broken.load() is None
