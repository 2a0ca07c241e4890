from __future__ import annotations

import os
import threading
from datetime import timedelta

import pytest
from sqlalchemy import func

from saft_core.store import jobs
from saft_core.store.housekeeping import ORPHAN_AGE_SECONDS
from saft_core.store.models import new_id
from tests.fixtures.in_process import LocalWorker
from worker.sweeper import Sweeper, publish_lost

WAIT_SECONDS = 30


def test_what_was_not_published_is_published_once(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    waiting = [local_worker.queue(dataset, name) for name in ("a", "b")]
    published: list[str] = []
    publish_lost(local_worker.sessions, published.append)
    assert published == waiting
    publish_lost(local_worker.sessions, published.append)
    assert published == waiting


def test_a_job_of_a_dead_worker_is_published(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()
    published: list[str] = []
    publish_lost(local_worker.sessions, published.append)
    with local_worker.sessions.begin() as session:
        jobs.claim(session, job_id, "dead", 60, 3)
    publish_lost(local_worker.sessions, published.append)
    assert published == [job_id]
    expired = func.clock_timestamp() - timedelta(seconds=1)
    local_worker.change(job_id, lease_expires_at=expired, published_at=expired - timedelta(seconds=1))
    publish_lost(local_worker.sessions, published.append)
    assert published == [job_id, job_id]


def test_a_broker_that_is_down_leaves_the_jobs_for_the_next_time(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()

    def fails(_: str) -> None:
        raise ConnectionError("down")

    with pytest.raises(ConnectionError):
        publish_lost(local_worker.sessions, fails)
    published: list[str] = []
    publish_lost(local_worker.sessions, published.append)
    assert published == [job_id]


def test_the_sweeper_goes_on_after_a_failure_and_clears_what_is_left_over(local_worker: LocalWorker) -> None:
    job_id, orphan, dataset = local_worker.queue(), new_id("ds"), local_worker.dataset()
    long_ago = local_worker.settings.blob_dir.stat().st_mtime - ORPHAN_AGE_SECONDS - 60
    local_worker.runtime.blobs.put(orphan, "0" * 64, b"left by a crash")
    for owner in (orphan, dataset):
        os.utime(local_worker.settings.blob_dir / owner, (long_ago, long_ago))
    attempts: list[str] = []
    published = threading.Event()

    def publish(wanted: str) -> None:
        attempts.append(wanted)
        if len(attempts) < 3:
            raise ConnectionError("down")
        published.set()

    settings = local_worker.settings.model_copy(update={"sweep_interval_seconds": 0.01})
    sweeper = Sweeper(settings, publish)
    sweeper.start()
    assert published.wait(WAIT_SECONDS)
    sweeper.stop()
    sweeper._thread.join(WAIT_SECONDS)
    assert not sweeper._thread.is_alive()
    assert attempts == [job_id] * 3
    assert [owner for owner, _ in local_worker.runtime.blobs.owners() if owner == orphan] == []
    assert (local_worker.settings.blob_dir / dataset).is_dir()
