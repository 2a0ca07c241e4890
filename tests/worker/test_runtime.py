from __future__ import annotations

import subprocess
import sys

import pytest

from saft_core.settings import Settings
from saft_core.store import leases
from tests.fixtures.in_process import InProcessRuntime, LocalWorker
from worker.pipeline import run_job
from worker.runtime import Runtime


def test_a_stopped_worker_gives_its_own_jobs_back(local_worker: LocalWorker) -> None:
    dataset = local_worker.dataset()
    mine, foreign = local_worker.queue(dataset, "mine"), local_worker.queue(dataset, "foreign")
    with local_worker.sessions.begin() as session:
        leases.claim(session, mine, "worker", 60, 3)
        leases.claim(session, foreign, "other", 60, 3)
    local_worker.runtime.release_jobs()
    assert (local_worker.job(mine).status, local_worker.job(mine).attempt) == ("queued", 0)
    assert (local_worker.job(foreign).status, local_worker.job(foreign).lease_owner) == ("running", "other")


def test_another_worker_does_what_was_given_back(local_worker: LocalWorker) -> None:
    job_id = local_worker.queue()
    with local_worker.sessions.begin() as session:
        leases.claim(session, job_id, "worker", 60, 3)
    local_worker.runtime.release_jobs()
    heir = InProcessRuntime(local_worker.settings, local_worker.base, "heir")
    run_job(heir, job_id)
    assert (local_worker.job(job_id).status, local_worker.job(job_id).attempt) == ("succeeded", 1)
    heir.sessions.kw["bind"].dispose()


def test_a_runtime_opens_nothing_before_it_is_asked() -> None:
    settings = Settings(database_url="postgresql://nobody@nowhere/x", base="no such base")
    runtime = Runtime(settings, "worker")
    assert set(vars(runtime)) == {"settings", "owner"}


def test_a_worker_without_a_database_says_so() -> None:
    with pytest.raises(ValueError, match="database URL"):
        _ = Runtime(Settings(), "worker").sessions


def test_the_process_that_forks_never_loads_torch() -> None:
    """A forked copy of torch's threads and a parent of a gigabyte are what the late imports avoid."""
    code = "import sys, worker.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
