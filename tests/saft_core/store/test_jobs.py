from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from saft_core.comparison import Answered
from saft_core.errors import Cancelled, JobFinished, NameTaken, NotFound, TrainingDiverged
from saft_core.store import adapters, jobs
from saft_core.store.models import Adapter, AdapterDelta, Job, Tenant
from saft_core.store.scope import Scope
from tests.fixtures.tenants import add_tenant

LEASE_SECONDS = 60.0
ATTEMPTS = 3


def adapter_row(name: str = "icons") -> Adapter:
    return Adapter(
        name=name, classes=["a", "b"], template="a {}", density=0.001, nnz=3, delta_bytes=9, base="tiny",
        base_fingerprint="f", metrics={"accuracy": 0.5}, blocks=[],
    )  # fmt: skip


class Queue:
    """The jobs of one tenant and the workers on them, each step in a transaction of its own."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self.sessions = sessions
        with sessions.begin() as session:
            self.tenant_id = add_tenant(session).tenant_id

    def add(self, name: str = "icons") -> str:
        return str(self.tenant(lambda scope: jobs.create(scope, Job(name=name, config={"epochs": 1})).id))

    def tenant(self, work: Callable[[Scope], Any]) -> Any:
        with self.sessions.begin() as session:
            return work(Scope(session, self.tenant_id))

    def claim(self, job_id: str, owner: str = "worker") -> Job | None:
        with self.sessions.begin() as session:
            return jobs.claim(session, job_id, owner, LEASE_SECONDS, ATTEMPTS)

    def report(self, job_id: str, owner: str = "worker", **progress: Any) -> jobs.LeaseState:
        with self.sessions.begin() as session:
            return jobs.report(session, job_id, owner, LEASE_SECONDS, **progress)

    def finish(self, job_id: str, owner: str = "worker", name: str = "icons", **changes: Any) -> bool:
        with self.sessions.begin() as session:
            return jobs.finish(session, job_id, owner, jobs.Result(adapter_row(name), b"container", **changes))

    def lost(self, queued: int = 0) -> list[str]:
        """With so many messages in the broker's queue."""
        with self.sessions.begin() as session:
            return [message.job_id for message in jobs.lost(session, lambda _: queued)]

    def job(self, job_id: str) -> Job:
        with self.sessions() as session:
            return session.get_one(Job, job_id)

    def change(self, job_id: str, **values: Any) -> None:
        with self.sessions.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(**values))

    def silence_worker(self, job_id: str) -> None:
        """As if its worker had died a lease ago."""
        self.change(job_id, lease_expires_at=func.clock_timestamp() - timedelta(seconds=1))

    def adapters(self) -> list[Adapter]:
        with self.sessions() as session:
            return list(session.scalars(select(Adapter)))


@pytest.fixture
def queue(sessions: sessionmaker[Session]) -> Queue:
    return Queue(sessions)


# --- claiming --------------------------------------------------------------------------------------------------------


def test_a_job_is_claimed_once(queue: Queue) -> None:
    job_id = queue.add()
    claimed = queue.claim(job_id, "first")
    assert claimed is not None
    assert (claimed.status, claimed.phase, claimed.attempt) == ("running", "preparing", 1)
    assert claimed.started_at is not None
    assert queue.claim(job_id, "second") is None
    assert queue.job(job_id).lease_owner == "first"


def test_of_many_workers_at_once_one_gets_the_job(queue: Queue) -> None:
    job_id = queue.add()
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda number: queue.claim(job_id, f"worker {number}"), range(8)))
    assert sum(claim is not None for claim in claims) == 1
    assert queue.job(job_id).attempt == 1


def test_a_job_whose_row_is_just_being_written_is_claimed_after_that(queue: Queue) -> None:
    """The API notes the publication while the message is already with a worker: the message must not be lost."""
    job_id = queue.add()
    with ThreadPoolExecutor(1) as pool:
        with queue.sessions.begin() as session:
            jobs.mark_published(session, [job_id])
            claim = pool.submit(queue.claim, job_id)
            with pytest.raises(TimeoutError):
                claim.result(0.2)
        assert claim.result(30) is not None


def test_a_job_of_a_silent_worker_is_taken_over_from_the_start(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id, "dead")
    kept = {"losses": [[5, 1.0]], "seconds": {"training": 3.5}, "metrics": {"zero_shot_accuracy": 0.5}}
    queue.report(job_id, "dead", progress=0.5, step=5, steps=10, loss=1.0, eta_seconds=9.0, **kept)
    started = queue.job(job_id).started_at
    assert queue.claim(job_id, "heir") is None
    queue.silence_worker(job_id)
    taken = queue.claim(job_id, "heir")
    assert taken is not None
    assert (taken.attempt, taken.lease_owner, taken.phase) == (2, "heir", "preparing")
    assert (taken.progress, taken.step, taken.steps, taken.loss) == (0.0, 0, 0, None)
    assert {"losses": taken.losses, "seconds": taken.seconds, "metrics": taken.metrics} == kept
    assert taken.elapsed_seconds == 3.5
    assert taken.eta_seconds is None
    assert taken.started_at == started


def test_a_claim_whose_answer_was_lost_can_be_made_again(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id, "worker/1")
    again = queue.claim(job_id, "worker/1")
    assert again is not None
    assert again.attempt == 1
    assert queue.claim(job_id, "worker/2") is None


def test_an_unknown_or_ended_job_is_not_claimed(queue: Queue) -> None:
    assert queue.claim("job_unknown") is None
    job_id = queue.add()
    queue.claim(job_id)
    queue.finish(job_id)
    assert queue.claim(job_id) is None


def test_a_job_that_kills_its_workers_fails_after_some(queue: Queue) -> None:
    job_id = queue.add()
    for attempt in range(1, ATTEMPTS + 1):
        claimed = queue.claim(job_id, f"worker {attempt}")
        assert claimed is not None
        assert claimed.attempt == attempt
        queue.silence_worker(job_id)
    assert queue.claim(job_id, "last") is None
    job = queue.job(job_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "worker_lost"
    assert job.finished_at is not None


# --- the lease -------------------------------------------------------------------------------------------------------


def test_a_report_writes_progress_and_renews_the_lease(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    before = queue.job(job_id).lease_expires_at
    state = queue.report(job_id, phase="training", progress=0.25, step=1, steps=4, loss=2.5, losses=[(1, 2.5)])
    assert state == jobs.LeaseState(alive=True, cancel_requested=False)
    job = queue.job(job_id)
    assert (job.phase, job.progress, job.step, job.steps, job.loss, job.losses) == (
        "training",
        0.25,
        1,
        4,
        2.5,
        [[1, 2.5]],
    )
    assert before is not None
    assert job.lease_expires_at is not None
    assert job.lease_expires_at > before


def test_a_worker_that_lost_its_job_changes_nothing(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id, "dead")
    queue.silence_worker(job_id)
    queue.claim(job_id, "heir")
    before = queue.job(job_id)
    assert not queue.report(job_id, "dead", progress=0.9).alive
    with queue.sessions.begin() as session:
        jobs.fail(session, job_id, "dead", TrainingDiverged())
        jobs.cancel(session, job_id, "dead")
        jobs.release(session, "dead")
    assert queue.finish(job_id, "dead") is False
    assert queue.adapters() == []
    after = queue.job(job_id)
    for column in Job.__table__.columns:
        assert getattr(after, column.key) == getattr(before, column.key), column


def test_a_worker_that_was_late_but_not_replaced_goes_on(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    queue.silence_worker(job_id)
    assert queue.report(job_id, progress=0.5).alive
    assert queue.claim(job_id, "heir") is None


# --- the base --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "worker", "taken"), [("a", "a", True), ("a", "b", False), (None, "b", True)])
def test_a_worker_takes_jobs_for_its_own_base(queue: Queue, wanted: str | None, worker: str, taken: bool) -> None:
    job_id = queue.add()
    queue.change(job_id, base_fingerprint=wanted)
    with queue.sessions.begin() as session:
        job = jobs.claim(session, job_id, "worker", LEASE_SECONDS, ATTEMPTS, worker)
    assert (job is not None) is taken
    assert (queue.job(job_id).status, queue.job(job_id).attempt) == (("running", 1) if taken else ("queued", 0))


# --- the end ---------------------------------------------------------------------------------------------------------


def test_the_end_publishes_one_adapter(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    assert queue.finish(job_id) is True
    job = queue.job(job_id)
    (adapter,) = queue.adapters()
    assert (job.status, job.progress, job.adapter_id, job.metrics) == ("succeeded", 1.0, adapter.id, {"accuracy": 0.5})
    assert (adapter.job_id, adapter.tenant_id) == (job_id, queue.tenant_id)
    assert job.finished_at is not None
    assert job.lease_owner is None
    assert adapters.load_container(queue.sessions, adapter.id) == b"container"
    assert queue.finish(job_id) is False
    assert len(queue.adapters()) == 1


def test_two_workers_that_finish_at_once_leave_one_adapter(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id, "slow")
    queue.silence_worker(job_id)
    queue.claim(job_id, "heir")
    with ThreadPoolExecutor(2) as pool:
        done = dict(
            zip(("slow", "heir"), pool.map(lambda owner: queue.finish(job_id, owner), ("slow", "heir")), strict=True)
        )
    assert done == {"slow": False, "heir": True}
    assert len(queue.adapters()) == 1


def test_an_adapter_and_the_end_of_its_job_come_together_or_not_at_all(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    with queue.sessions() as session:
        assert jobs.finish(session, job_id, "worker", jobs.Result(adapter_row(), b"container"))
        session.rollback()  # the process dies before the commit
    assert queue.adapters() == []
    assert queue.job(job_id).status == "running"
    with queue.sessions() as session:
        assert session.scalar(select(func.count()).select_from(AdapterDelta)) == 0


def versions(queue: Queue) -> dict[int, str]:
    """What each version of "icons" is called by."""
    rows = queue.tenant(lambda scope: scope.session.scalars(scope.select(Adapter, Adapter.name == "icons")).all())
    return {row.version: row.called for row in rows}


def finished(queue: Queue, **result: Any) -> str:
    job_id = queue.add()
    queue.claim(job_id)
    assert queue.finish(job_id, **result)
    return str(queue.job(job_id).adapter_id)


def test_a_job_under_a_name_that_is_there_makes_its_next_version(queue: Queue) -> None:
    finished(queue)
    finished(queue)
    assert versions(queue) == {1: "icons@1", 2: "icons"}
    finished(queue, publishes=False)
    assert versions(queue) == {1: "icons@1", 2: "icons", 3: "icons@3"}


def test_a_version_is_published_only_over_the_one_that_it_was_compared_with(queue: Queue) -> None:
    finished(queue, only_over=("ad_imported meanwhile",))
    assert versions(queue) == {1: "icons@1"}
    finished(queue, only_over=(None,))
    assert versions(queue) == {1: "icons@1", 2: "icons"}
    finished(queue, only_over=(None,))
    assert versions(queue) == {1: "icons@1", 2: "icons", 3: "icons@3"}
    before = queue.tenant(lambda scope: adapters.find(scope, "icons").id)
    finished(queue, only_over=(before,))
    assert versions(queue) == {1: "icons@1", 2: "icons@2", 3: "icons@3", 4: "icons"}


def test_of_more_versions_than_are_kept_the_oldest_goes_that_is_not_published(queue: Queue) -> None:
    finished(queue)
    for _ in range(3):
        finished(queue, publishes=False, keep=3)
    assert versions(queue) == {1: "icons", 3: "icons@3", 4: "icons@4"}
    assert queue.tenant(lambda scope: len(scope.session.scalars(scope.select(AdapterDelta)).all())) == 3


def test_what_a_version_answers_is_kept(queue: Queue) -> None:
    told = {"0" * 64: Answered("held-out", "a", "b"), "1" * 64: Answered("training", "b", "b")}
    adapter_id = finished(queue, answers=told)
    assert queue.tenant(lambda scope: adapters.answers(scope, adapter_id)) == told
    with queue.sessions() as session:
        assert adapters.answers(Scope(session, "ten_other"), adapter_id) == {}


def test_a_failed_job_says_why(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    with queue.sessions.begin() as session:
        jobs.fail(session, job_id, "worker", TrainingDiverged(step=3))
    job = queue.job(job_id)
    assert job.status == "failed"
    assert job.error == {"code": "training_diverged", "detail": TrainingDiverged.__doc__, "step": 3}


# --- cancelling ------------------------------------------------------------------------------------------------------


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
    assert queue.report(job_id, progress=0.5) == jobs.LeaseState(alive=True, cancel_requested=True)
    with queue.sessions.begin() as session:
        jobs.cancel(session, job_id, "worker")
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
    assert not queue.report(job_id, "dead").alive
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
        jobs.release(session, "worker")
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


# --- publishing ------------------------------------------------------------------------------------------------------


def test_a_job_is_published_until_somebody_noted_it(queue: Queue) -> None:
    job_id = queue.add()
    assert queue.lost() == [job_id]
    with queue.sessions.begin() as session:
        jobs.mark_published(session, [job_id])
    assert queue.lost() == []


def test_a_waiting_job_is_published_again_after_a_while(queue: Queue) -> None:
    job_id = queue.add()
    queue.change(job_id, published_at=func.clock_timestamp() - jobs.REPUBLISH_AFTER * 1.01)
    assert queue.lost() == [job_id]


def test_a_waiting_job_whose_message_waits_too_is_left_alone(queue: Queue) -> None:
    names = [f"job {number}" for number in range(5)]
    waiting = [queue.add(name) for name in names]
    for age, job_id in enumerate(reversed(waiting)):
        queue.change(job_id, published_at=func.clock_timestamp() - jobs.REPUBLISH_AFTER * (1.01 + age))
    assert queue.lost(queued=5) == []
    assert queue.lost(queued=7) == []
    assert queue.lost(queued=3) == waiting[:2]  # a queue lacks what was sent first
    assert queue.lost(queued=0) == waiting


def test_a_message_that_is_on_its_way_is_not_missed_at_once(queue: Queue) -> None:
    late, fresh = queue.add("late"), queue.add("fresh")
    queue.change(late, published_at=func.clock_timestamp() - jobs.REPUBLISH_AFTER * 1.01)
    queue.change(fresh, published_at=func.clock_timestamp())
    assert queue.lost() == [late]


def test_each_base_has_a_queue_of_its_own(queue: Queue) -> None:
    base, other = "a" * 64, "b" * 64
    by_base = {name: queue.add(str(name)) for name in (base, other, None)}
    for fingerprint, job_id in by_base.items():
        queue.change(job_id, base_fingerprint=fingerprint)
    with queue.sessions.begin() as session:
        unsent = jobs.lost(session, lambda _: 0)
        assert {message.queue for message in unsent} == {jobs.queue_of(name) for name in by_base}
        jobs.mark_published(session, list(by_base.values()))
    for job_id in by_base.values():
        queue.change(job_id, published_at=func.clock_timestamp() - jobs.REPUBLISH_AFTER * 1.01)
    held = {jobs.queue_of(base): 0, jobs.queue_of(other): 1, jobs.queue_of(None): 1}
    with queue.sessions.begin() as session:
        assert jobs.lost(session, held.__getitem__) == [jobs.Message(by_base[base], jobs.queue_of(base))]


def test_the_job_of_a_silent_worker_is_published_once(queue: Queue) -> None:
    job_id = queue.add()
    queue.change(job_id, published_at=func.clock_timestamp() - timedelta(seconds=30))
    queue.claim(job_id)
    assert queue.lost() == []
    queue.silence_worker(job_id)
    assert queue.lost() == [job_id]
    with queue.sessions.begin() as session:
        jobs.mark_published(session, [job_id])
    assert queue.lost() == []


def test_the_job_of_a_silent_worker_whose_message_waits_is_left_alone(queue: Queue) -> None:
    """All workers may be busy for hours."""
    job_id = queue.add()
    queue.claim(job_id)
    long_ago = func.clock_timestamp() - jobs.REPUBLISH_AFTER * 3
    queue.change(job_id, lease_expires_at=long_ago, published_at=long_ago + jobs.REPUBLISH_AFTER)
    assert queue.lost(queued=1) == []
    assert queue.lost(queued=0) == [job_id]


def test_an_ended_job_is_never_published(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    queue.finish(job_id)
    assert queue.lost() == []


def test_a_released_job_waits_again_and_the_attempt_does_not_count(queue: Queue) -> None:
    kept, released = queue.add("kept"), queue.add("released")
    queue.claim(kept, "other worker")
    queue.claim(released)
    queue.change(released, published_at=func.clock_timestamp())
    with queue.sessions.begin() as session:
        jobs.release(session, "work%")  # a name, no pattern
        jobs.release(session, "worker")
    job = queue.job(released)
    assert (job.status, job.phase, job.attempt, job.lease_owner) == ("queued", "queued", 0, None)
    assert queue.job(kept).status == "running"
    assert queue.lost() == [released]
    assert queue.claim(released, "heir") is not None


# --- names -----------------------------------------------------------------------------------------------------------


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
