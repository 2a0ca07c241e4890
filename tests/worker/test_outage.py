"""A database that is stopped and started while a worker is at its job: a real server, in every place that asks it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func

import worker.lease
from saft_core.store import datasets, jobs, leases
from saft_core.store.models import Job
from tests.fixtures.in_process import InProcessRuntime, LocalWorker
from tests.fixtures.outage import OwnDatabase, before_first_call
from tests.worker.test_pipeline import when_training
from worker.pipeline import run_job

AWAY_SECONDS = 1.5


def run_through(worker_: LocalWorker, database: OwnDatabase, job_id: str) -> Job:
    """The job after a worker had it, the database being away in between."""
    run_job(worker_.runtime, job_id)
    database.wait_for_restart()
    return worker_.job(job_id)


@pytest.mark.parametrize(
    ("module", "name"), [(leases, "claim"), (datasets, "load"), (leases, "renew"), (leases, "finish")]
)
def test_a_moment_without_the_database_costs_a_training_nothing(
    far_worker: LocalWorker, own_database: OwnDatabase, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    job_id = far_worker.queue()
    before_first_call(monkeypatch, module, name, lambda: own_database.stop_for(AWAY_SECONDS))
    job = run_through(far_worker, own_database, job_id)
    assert (job.status, job.attempt, job.error) == ("succeeded", 1, None)
    assert (job.step, job.progress) == (job.steps, 1.0)
    assert len(far_worker.adapters()) == 1


def test_a_result_waits_for_the_database_longer_than_the_lease(
    far_worker: LocalWorker, own_database: OwnDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = far_worker.queue()

    def lease_runs_out() -> None:
        far_worker.change(job_id, lease_expires_at=func.clock_timestamp() - timedelta(seconds=1))
        own_database.stop_for(AWAY_SECONDS)

    before_first_call(monkeypatch, leases, "finish", lease_runs_out)
    job = run_through(far_worker, own_database, job_id)
    assert (job.status, job.attempt) == ("succeeded", 1)


def test_a_failure_is_told_when_the_database_is_back(
    far_worker: LocalWorker, own_database: OwnDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = far_worker.queue(learning_rate=1e30, epochs=4, density=0.01)
    before_first_call(monkeypatch, leases, "fail", lambda: own_database.stop_for(AWAY_SECONDS))
    job = run_through(far_worker, own_database, job_id)
    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "training_diverged")


def test_a_stop_is_told_when_the_database_is_back(
    far_worker: LocalWorker, own_database: OwnDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = far_worker.queue(epochs=3)
    when_training(monkeypatch, 1, lambda: far_worker.tenant(lambda scope: jobs.request_cancel(scope, job_id)))
    before_first_call(monkeypatch, leases, "cancel", lambda: own_database.stop_for(AWAY_SECONDS))
    monkeypatch.setattr(worker.lease, "REPORT_INTERVAL_SECONDS", 0.0)
    job = run_through(far_worker, own_database, job_id)
    assert (job.status, job.error) == ("cancelled", None)


def test_a_training_that_outlives_its_lease_is_given_back_and_the_attempt_does_not_count(
    far_worker: LocalWorker, own_database: OwnDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = far_worker.settings.model_copy(update={"job_lease_seconds": 3.0, "checkpoint_interval_seconds": 1e-9})
    runtime = InProcessRuntime(settings, far_worker.base)
    job_id = far_worker.queue(epochs=100_000)
    stopped = threading.Event()

    def stop() -> None:
        own_database.stop_for(2 * settings.job_lease_seconds)
        stopped.set()

    when_training(monkeypatch, 5, stop)
    run_job(runtime, job_id)
    assert stopped.is_set()
    own_database.wait_for_restart()
    job = far_worker.job(job_id)
    assert (job.status, job.attempt, job.lease_owner, job.error) == ("queued", 0, None, None)
    assert list(far_worker.runtime.checkpoints.job_ids()) == [job_id]
    runtime.sessions.kw["bind"].dispose()


def test_a_stopped_worker_waits_for_the_database_to_give_its_jobs_back(
    far_worker: LocalWorker, own_database: OwnDatabase
) -> None:
    job_id = far_worker.queue()
    with far_worker.sessions.begin() as session:
        assert leases.claim(session, job_id, f"{far_worker.runtime.owner}/1", 60, 3) is not None
    own_database.stop_for(AWAY_SECONDS)
    far_worker.runtime.release_jobs()
    own_database.wait_for_restart()
    assert (far_worker.job(job_id).status, far_worker.job(job_id).attempt) == ("queued", 0)
