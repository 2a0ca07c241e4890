from __future__ import annotations

from collections import deque
from datetime import timedelta

import pytest
from sqlalchemy import func
from sqlalchemy.orm import Session

from saft_core.store import jobs, leases
from saft_core.store.models import Job
from saft_core.store.scheduling import next_job, queue_position
from saft_core.store.scope import Scope
from tests.fixtures.tenants import add_tenant

LEASE_SECONDS, ATTEMPTS = 60.0, 3


def order(scope: Scope, *names: str, base: str | None = None) -> None:
    for name in names:
        jobs.create(scope, Job(name=name, config={}, base_fingerprint=base))


def take(session: Session, owner: str, base: str | None = None) -> str | None:
    """The name of the job that a worker takes."""
    job_id = next_job(session, base)
    if job_id is None:
        return None
    job = leases.claim(session, job_id, owner, LEASE_SECONDS, ATTEMPTS, base)
    assert job is not None
    return job.name


def end(session: Session, name: str) -> None:
    job = session.query(Job).filter_by(name=name).one()
    leases.cancel(session, job.id, job.lease_owner or "")
    session.flush()


def test_one_who_orders_much_waits_behind_his_own(session: Session) -> None:
    flood, quiet, other = (add_tenant(session, name) for name in ("flood", "quiet", "other"))
    order(flood, *(f"flood {n}" for n in range(5)))
    order(quiet, "quiet 0", "quiet 1")
    order(other, "other 0")
    taken = []
    for _ in range(8):  # one worker
        taken.append(take(session, "worker"))
        end(session, taken[-1] or "")
    assert taken == [
        "flood 0", "quiet 0", "other 0", "flood 1", "quiet 1", "flood 2", "flood 3", "flood 4",
    ]  # fmt: skip
    assert take(session, "worker") is None


def test_who_has_fewest_trainings_under_way_is_next(session: Session) -> None:
    flood, quiet = add_tenant(session, "flood"), add_tenant(session, "quiet")
    order(flood, *(f"flood {n}" for n in range(4)))
    assert [take(session, f"worker {n}") for n in range(2)] == ["flood 0", "flood 1"]  # nobody else is there
    order(quiet, "quiet 0", "quiet 1", "quiet 2")
    assert [take(session, f"worker {n}") for n in range(2, 4)] == ["quiet 0", "quiet 1"]
    end(session, "quiet 0")
    assert take(session, "worker 4") == "quiet 2"


def test_a_job_of_a_silent_worker_is_taken_again_and_not_counted(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    order(mine, "mine 0")
    assert take(session, "dead") == "mine 0"
    job = session.query(Job).filter_by(name="mine 0").one()
    job.lease_expires_at = func.clock_timestamp() - timedelta(seconds=1)
    session.flush()
    order(other, "other 0")
    assert [take(session, "heir"), take(session, "next")] == ["other 0", "mine 0"]


@pytest.mark.parametrize(
    ("worker", "taken"), [("a", ["of a", "of any"]), ("b", ["of any"]), (None, ["of a", "of any"])]
)
def test_only_jobs_for_the_base_have_a_turn(session: Session, worker: str | None, taken: list[str]) -> None:
    scope = add_tenant(session)
    order(scope, "of a", base="a")
    order(scope, "of any")
    assert [take(session, f"worker {n}", worker) for n in range(len(taken))] == taken
    assert take(session, "last", worker) is None


# --- the place in the queue ------------------------------------------------------------------------------------------


def places(session: Session, scopes: dict[str, Scope]) -> dict[str, int | None]:
    """By the name of the job, of those that wait."""
    waiting = session.query(Job).filter_by(status="queued").all()
    by_tenant = {scope.tenant_id: scope for scope in scopes.values()}
    return {job.name: queue_position(by_tenant[job.tenant_id], job) for job in waiting}


def in_turn(found: dict[str, int | None]) -> list[str]:
    assert sorted(found.values(), key=str) == sorted(range(1, len(found) + 1), key=str)
    return sorted(found, key=lambda name: found[name] or 0)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_place_of_each_job_is_that_in_which_it_is_taken(session: Session, workers: int) -> None:
    scopes = {name: add_tenant(session, name) for name in ("flood", "quiet", "other")}
    order(scopes["flood"], *(f"flood {n}" for n in range(6)))
    busy = deque(take(session, f"worker {n}") or "" for n in range(workers))
    order(scopes["quiet"], "quiet 0", "quiet 1")
    order(scopes["other"], "other 0", "other 1", "other 2")
    expected = in_turn(places(session, scopes))
    taken: list[str] = []
    while expected[len(taken) :]:
        end(session, busy.popleft())
        taken.append(take(session, "worker") or "")
        busy.append(taken[-1])
        assert in_turn(places(session, scopes)) == expected[len(taken) :]
    assert taken == expected


def test_an_idle_worker_takes_the_first_at_once(session: Session) -> None:
    scopes = {name: add_tenant(session, name) for name in ("one", "two")}
    order(scopes["one"], "one 0", "one 1")
    order(scopes["two"], "two 0")
    assert in_turn(places(session, scopes)) == ["one 0", "two 0", "one 1"]


def test_only_a_job_that_waits_has_a_place(session: Session) -> None:
    scope = add_tenant(session)
    order(scope, "first", "second")
    take(session, "worker")
    jobs_by_name = {job.name: job for job in session.query(Job).all()}
    jobs.request_cancel(scope, jobs_by_name["second"].id)
    assert [queue_position(scope, jobs_by_name[name]) for name in ("first", "second")] == [None, None]


def test_jobs_of_another_base_take_no_place(session: Session) -> None:
    foreign, own = add_tenant(session, "foreign"), add_tenant(session, "own")
    order(foreign, "foreign 0", base="b")
    order(foreign, "of any")
    order(own, "own 0", base="a")
    job = session.query(Job).filter_by(name="own 0").one()
    assert queue_position(own, job) == 2


def test_a_job_of_a_silent_worker_has_a_turn_before_others(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    order(mine, "mine 0", "mine 1")
    take(session, "dead")
    silent = session.query(Job).filter_by(name="mine 0").one()
    silent.lease_expires_at = func.clock_timestamp() - timedelta(seconds=1)
    session.flush()
    order(other, "other 0")
    assert places(session, {"mine": mine, "other": other}) == {"other 0": 1, "mine 1": 3}
