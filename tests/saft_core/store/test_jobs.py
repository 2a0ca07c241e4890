from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from saft_core.errors import Cancelled, JobFinished, NameTaken, NotFound
from saft_core.store import jobs, leases
from saft_core.store.models import Job, Tenant
from tests.fixtures.queue import Queue
from tests.fixtures.tenants import add_tenant


def cancel(queue: Queue, job_id: str) -> Job:
    job: Job = queue.tenant(lambda scope: jobs.request_cancel(scope, job_id))
    return job


def test_a_waiting_job_is_cancelled_at_once(queue: Queue) -> None:
    job_id = queue.add()
    assert cancel(queue, job_id).status == "cancelled"
    assert cancel(queue, job_id).status == "cancelled"
    assert queue.job(job_id).finished_at is not None
    assert queue.claim(job_id) is None


def test_a_running_job_is_asked_to_stop(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    asked = cancel(queue, job_id)
    assert (asked.status, asked.cancel_requested) == ("running", True)
    assert queue.renew(job_id, progress=0.5) == leases.LeaseState(held=True, cancel_requested=True)
    with queue.sessions.begin() as session:
        leases.cancel(session, job_id, "worker")
    assert queue.job(job_id).status == "cancelled"


def test_no_adapter_comes_after_a_stop_was_promised(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    cancel(queue, job_id)
    with pytest.raises(Cancelled):
        queue.finish(job_id)
    assert queue.adapters() == []


def test_a_stop_outlives_the_worker(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id, "dead")
    cancel(queue, job_id)
    queue.silence_worker(job_id)
    assert queue.claim(job_id, "heir") is None
    assert queue.job(job_id).status == "cancelled"


def test_the_job_of_a_silent_worker_is_cancelled_at_once(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id, "dead")
    queue.silence_worker(job_id)
    assert cancel(queue, job_id).status == "cancelled"
    assert not queue.renew(job_id, "dead").held
    assert queue.finish(job_id, "dead") is False


def test_a_stop_that_its_worker_never_saw_is_carried_out_without_one(queue: Queue) -> None:
    unasked, held, job_id = queue.add("unasked"), queue.add("held"), queue.add()
    for each in (unasked, held, job_id):
        queue.claim(each, "dead")
    cancel(queue, held)
    assert cancel(queue, job_id).status == "running"
    queue.silence_worker(job_id)
    queue.silence_worker(unasked)
    with queue.sessions.begin() as session:
        jobs.end_cancelled(session)
    assert [queue.job(each).status for each in (unasked, held, job_id)] == ["running", "running", "cancelled"]
    assert queue.job(job_id).finished_at is not None
    assert queue.job(job_id).lease_owner is None


def test_a_job_given_back_while_a_stop_was_asked_for_ends(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    cancel(queue, job_id)
    with queue.sessions.begin() as session:
        leases.release(session, "worker")
    assert queue.job(job_id).status == "cancelled"


def test_an_ended_job_cannot_be_cancelled(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    queue.finish(job_id)
    with pytest.raises(JobFinished, match="succeeded"):
        cancel(queue, job_id)


def test_a_foreign_job_cannot_be_cancelled(queue: Queue) -> None:
    job_id = queue.add()
    with queue.sessions() as session:
        other = add_tenant(session, "other")
        with pytest.raises(NotFound):
            jobs.request_cancel(other, job_id)
    assert queue.job(job_id).status == "queued"


def test_a_name_has_one_job_under_way(queue: Queue) -> None:
    job_id = queue.add()
    with pytest.raises(NameTaken, match=job_id):
        queue.add()
    queue.claim(job_id)
    with pytest.raises(NameTaken):
        queue.add()
    queue.finish(job_id)
    queue.add()


def test_a_name_is_free_again_after_a_failure_and_free_to_others(queue: Queue) -> None:
    job_id = queue.add()
    cancel(queue, job_id)
    queue.add()
    with queue.sessions.begin() as session:
        jobs.create(add_tenant(session, "other"), Job(name="icons", config={}))


def test_of_many_requests_at_once_one_gets_the_name(queue: Queue) -> None:
    def add(_: int) -> bool:
        try:
            queue.add()
        except NameTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(8))) == 1


def test_jobs_are_counted_by_status_over_all_tenants(queue: Queue) -> None:
    for name in ("a", "b", "c"):
        queue.add(name)
    queue.claim(queue.add("d"))
    with queue.sessions() as session:
        assert jobs.count_by_status(session) == {"queued": 3, "running": 1}
        assert session.scalar(select(func.count()).select_from(Tenant)) == 1
