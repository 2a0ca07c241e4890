from __future__ import annotations

from pathlib import Path

import pytest

from saft_core.store.checkpoints import CheckpointStore
from saft_core.store.models import new_id


def test_the_latest_state_is_kept_until_it_is_deleted(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    job, other = new_id("job"), new_id("job")
    assert store.load(job) is None
    assert list(store.job_ids()) == []
    store.save(job, 1, b"first")
    store.save(job, 1, b"second")
    store.save(other, 1, b"other")
    assert store.load(job) == b"second"
    assert sorted(store.job_ids()) == sorted([job, other])
    for _ in range(2):
        store.delete(job)
        assert store.load(job) is None
    assert store.load(other) == b"other"


def test_an_earlier_attempt_never_overwrites_a_later_one(tmp_path: Path) -> None:
    store, job = CheckpointStore(tmp_path), new_id("job")
    store.save(job, 9, b"lost its job without knowing")
    store.save(job, 10, b"the heir's")
    assert len(list(tmp_path.iterdir())) == 1
    store.save(job, 9, b"still does not know")
    assert store.load(job) == b"the heir's"
    store.save(job, 11, b"of the heir's heir")
    assert store.load(job) == b"of the heir's heir"
    store.delete(job)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, job = CheckpointStore(tmp_path), new_id("job")
    store.save(job, 1, b"before")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        store.save(job, 2, b"after")
    assert store.load(job) == b"before"
    assert [path.name for path in tmp_path.iterdir()] == [f"{job}-000001.safetensors"]


def test_what_a_crash_left_of_a_write_is_found_and_deleted(tmp_path: Path) -> None:
    store, job = CheckpointStore(tmp_path), new_id("job")
    (tmp_path / f"{job}-abc.part").write_bytes(b"half")
    assert list(store.job_ids()) == [job]
    store.delete(job)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("job_id", ["../job_" + "0" * 32, "job_1", "", "ds_" + "0" * 32])
def test_only_ids_of_jobs_name_files(tmp_path: Path, job_id: str) -> None:
    with pytest.raises(ValueError, match="not the id of a job"):
        CheckpointStore(tmp_path).save(job_id, 1, b"")
