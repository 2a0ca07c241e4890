from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

import worker.lease
from saft_core.errors import Cancelled
from saft_core.store import jobs, leases
from tests.fixtures.in_process import LocalWorker
from worker.lease import Lease, LeaseLost

LONG_SECONDS = 3600.0


@pytest.fixture
def claimed(local_worker: LocalWorker) -> str:
    """A job that `worker` holds, for a moment."""
    job_id = local_worker.queue()
    with local_worker.sessions.begin() as session:
        assert leases.claim(session, job_id, "worker", 5, 3) is not None
    return job_id


def lease(local_worker: LocalWorker, job_id: str, seconds: float = LONG_SECONDS, owner: str = "worker") -> Lease:
    return Lease(local_worker.sessions, job_id, owner, seconds)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def raises(held: Lease, kind: type[Exception]) -> bool:
    try:
        held.check()
    except kind:
        return True
    return False


def test_a_report_is_written_at_once_and_the_next_ones_are_held_back(local_worker: LocalWorker, claimed: str) -> None:
    with lease(local_worker, claimed) as held:
        for step in (1, 2, 3):
            held.report(phase="training", step=step)
        assert local_worker.job(claimed).step == 1
        held.flush()
        assert local_worker.job(claimed).step == 3


def test_a_report_is_written_again_after_a_pause(
    local_worker: LocalWorker, claimed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease(local_worker, claimed) as held:
        held.report(step=1)
        monkeypatch.setattr(worker.lease, "REPORT_INTERVAL_SECONDS", 0.0)
        held.report(step=2)
        assert local_worker.job(claimed).step == 2


def test_a_report_renews_the_lease(local_worker: LocalWorker, claimed: str) -> None:
    before = local_worker.job(claimed).lease_expires_at
    lease(local_worker, claimed).report(step=1)
    after = local_worker.job(claimed).lease_expires_at
    assert before is not None
    assert after is not None
    assert (after - before).total_seconds() > LONG_SECONDS / 2


def test_the_lease_is_renewed_while_the_work_says_nothing(local_worker: LocalWorker, claimed: str) -> None:
    first = local_worker.job(claimed).lease_expires_at

    def renewed() -> bool:
        now = local_worker.job(claimed).lease_expires_at
        return now is not None and first is not None and now > first

    with lease(local_worker, claimed, 8.0):  # claimed for 5 seconds: any renewal is later
        local_worker.change(claimed, lease_expires_at=first)
        until(renewed)


def test_nothing_is_renewed_after_the_work(local_worker: LocalWorker, claimed: str) -> None:
    with lease(local_worker, claimed, 0.02):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == f"lease-{claimed}"]


def test_a_lost_lease_is_noticed_at_a_report(local_worker: LocalWorker, claimed: str) -> None:
    with lease(local_worker, claimed) as held:
        local_worker.take_over(claimed)
        held.check()  # nobody has looked yet
        with pytest.raises(LeaseLost):
            held.report(step=7)
    assert (local_worker.job(claimed).step, local_worker.job(claimed).lease_owner) == (0, "heir")


def test_a_lost_lease_is_noticed_without_a_report(local_worker: LocalWorker, claimed: str) -> None:
    with lease(local_worker, claimed, 1.0) as held:
        local_worker.take_over(claimed)
        until(lambda: raises(held, LeaseLost))


def test_a_stop_is_noticed_without_a_report(local_worker: LocalWorker, claimed: str) -> None:
    with lease(local_worker, claimed, 1.0) as held:
        local_worker.tenant(lambda scope: jobs.request_cancel(scope, claimed))
        until(lambda: raises(held, Cancelled))


def test_a_lost_lease_goes_before_a_stop(local_worker: LocalWorker, claimed: str) -> None:
    """Whoever has lost the job may not end it as cancelled either."""
    held = lease(local_worker, claimed)
    local_worker.tenant(lambda scope: jobs.request_cancel(scope, claimed))
    with pytest.raises(Cancelled):
        held.report(step=1)
    local_worker.change(claimed, lease_owner="heir")
    held.flush()
    with pytest.raises(LeaseLost):
        held.check()


def test_a_database_that_does_not_answer_is_no_lost_lease(
    local_worker: LocalWorker, claimed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> leases.LeaseState:
        raise OperationalError("UPDATE", {}, Exception("gone"))

    held = lease(local_worker, claimed)
    with monkeypatch.context() as patch:
        patch.setattr(leases, "renew", fails)
        held.report(step=1)
    held.flush()
    assert local_worker.job(claimed).step == 1


def test_the_renewal_outlives_a_database_that_does_not_answer(
    local_worker: LocalWorker, claimed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, calls = leases.renew, []

    def fails_at_first(*arguments: Any, **progress: Any) -> leases.LeaseState:
        calls.append(1)
        if len(calls) < 3:
            raise OperationalError("UPDATE", {}, Exception("gone"))
        return report(*arguments, **progress)

    monkeypatch.setattr(leases, "renew", fails_at_first)
    monkeypatch.setattr(worker.lease, "RENEWALS_PER_LEASE", 1000)
    with lease(local_worker, claimed, 60) as held:
        local_worker.change(claimed, cancel_requested=True)
        until(lambda: raises(held, Cancelled))


def test_a_lease_that_could_not_be_renewed_runs_out_by_the_workers_own_clock(
    local_worker: LocalWorker, claimed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can be asked whether another worker has taken over, so that is what has to be assumed."""

    def fails(*_: Any, **__: Any) -> leases.LeaseState:
        raise OperationalError("UPDATE", {}, Exception("no route to host"))

    monkeypatch.setattr(leases, "renew", fails)
    with lease(local_worker, claimed, 1.0) as held:
        until(lambda: raises(held, LeaseLost))
    assert local_worker.job(claimed).lease_owner == "worker"


def test_a_renewal_that_came_through_late_still_counts(local_worker: LocalWorker, claimed: str) -> None:
    held = Lease(local_worker.sessions, claimed, "worker", 60, since=time.monotonic() - 61)
    assert raises(held, LeaseLost)
    held.flush()
    held.check()
