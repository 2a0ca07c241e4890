from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from saft_core.store import housekeeping, idempotency
from saft_core.store.blobs import BlobStore
from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.images import ORPHAN_AGE_SECONDS
from saft_core.store.local_blobs import LocalBlobStore
from saft_core.store.models import Collection, Dataset, IdempotencyRecord, Job, JobStatus, new_id
from tests.fixtures.tenants import add_tenant

SHA256 = hashlib.sha256(b"x").hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return LocalBlobStore(tmp_path)


@pytest.fixture
def checkpoints(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def make_folder(root: Path, name: str, age_seconds: float) -> Path:
    """A folder that was changed so long ago, with a file in it."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / SHA256).write_bytes(b"x")
    then = time.time() - age_seconds
    os.utime(folder, (then, then))
    return folder


def test_only_old_folders_without_a_row_are_cleared(
    sessions: sessionmaker[Session], blobs: BlobStore, checkpoints: CheckpointStore, tmp_path: Path
) -> None:
    with sessions.begin() as session:
        scope = add_tenant(session)
        dataset = scope.add(Dataset(name="d", classes=[], rejected=[], image_count=0)).id
        collection = scope.add(Collection(name="c")).id
    old, young = ORPHAN_AGE_SECONDS * 1.1, ORPHAN_AGE_SECONDS * 0.9
    kept = [make_folder(tmp_path, name, old) for name in (dataset, collection, f"images/{scope.tenant_id}")]
    kept += [make_folder(tmp_path, name, young) for name in (new_id("ds"), f"images/{new_id('ten')}")]
    cleared = [make_folder(tmp_path, name, old) for name in (new_id("ds"), new_id("col"), f"images/{new_id('ten')}")]
    for _ in range(2):
        housekeeping.sweep(sessions, blobs, checkpoints)
        assert [folder.exists() for folder in kept] == [True] * 5
        assert [folder.exists() for folder in cleared] == [False] * 3


def test_old_idempotency_records_are_cleared(
    sessions: sessionmaker[Session], blobs: BlobStore, checkpoints: CheckpointStore
) -> None:
    with sessions.begin() as session:
        age = func.clock_timestamp() - idempotency.KEEP_FOR * 2
        for key, moment in (("old", age), ("new", func.clock_timestamp())):
            session.add(IdempotencyRecord(owner="o", key=key, request_sha256="h", created_at=moment))
    housekeeping.sweep(sessions, blobs, checkpoints)
    with sessions() as session:
        assert session.scalars(select(IdempotencyRecord.key)).all() == ["new"]


def test_states_of_ended_and_unknown_jobs_are_cleared(
    sessions: sessionmaker[Session], blobs: BlobStore, checkpoints: CheckpointStore
) -> None:
    with sessions.begin() as session:
        scope = add_tenant(session)
        jobs = {status: scope.add(Job(name=status, config={}, status=status.value)).id for status in JobStatus}
    for job_id in (*jobs.values(), new_id("job")):
        checkpoints.save(job_id, 1, b"state")
    housekeeping.sweep(sessions, blobs, checkpoints)
    assert sorted(checkpoints.job_ids()) == sorted([jobs[JobStatus.QUEUED], jobs[JobStatus.RUNNING]])
