from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from saft_core.comparison import Answered
from saft_core.errors import TrainingDiverged
from saft_core.store import adapters, deltas, leases, messages
from saft_core.store.models import Adapter, AdapterDelta, Job
from saft_core.store.scope import Scope
from tests.fixtures.queue import ATTEMPTS, LEASE_SECONDS, Queue, adapter_row


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
            messages.mark_sent(session, [job_id])
            claim = pool.submit(queue.claim, job_id)
            with pytest.raises(TimeoutError):
                claim.result(0.2)
        assert claim.result(30) is not None


def test_a_job_of_a_silent_worker_is_taken_over_from_the_start(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id, "dead")
    kept = {"losses": [[5, 1.0]], "seconds": {"training": 3.5}, "metrics": {"zero_shot_accuracy": 0.5}}
    queue.renew(job_id, "dead", progress=0.5, step=5, steps=10, loss=1.0, eta_seconds=9.0, **kept)
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


def test_a_report_writes_progress_and_renews_the_lease(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    before = queue.job(job_id).lease_expires_at
    state = queue.renew(job_id, phase="training", progress=0.25, step=1, steps=4, loss=2.5, losses=[(1, 2.5)])
    assert state == leases.LeaseState(held=True, cancel_requested=False)
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
    assert not queue.renew(job_id, "dead", progress=0.9).held
    with queue.sessions.begin() as session:
        leases.fail(session, job_id, "dead", TrainingDiverged())
        leases.cancel(session, job_id, "dead")
        leases.release(session, "dead")
    assert queue.finish(job_id, "dead") is False
    assert queue.adapters() == []
    after = queue.job(job_id)
    for column in Job.__table__.columns:
        assert getattr(after, column.key) == getattr(before, column.key), column


def test_a_worker_that_was_late_but_not_replaced_goes_on(queue: Queue) -> None:
    job_id = queue.add()
    queue.claim(job_id)
    queue.silence_worker(job_id)
    assert queue.renew(job_id, progress=0.5).held
    assert queue.claim(job_id, "heir") is None


@pytest.mark.parametrize(("wanted", "worker", "taken"), [("a", "a", True), ("a", "b", False), (None, "b", True)])
def test_a_worker_takes_jobs_for_its_own_base(queue: Queue, wanted: str | None, worker: str, taken: bool) -> None:
    job_id = queue.add()
    queue.change(job_id, base_fingerprint=wanted)
    with queue.sessions.begin() as session:
        job = leases.claim(session, job_id, "worker", LEASE_SECONDS, ATTEMPTS, worker)
    assert (job is not None) is taken
    assert (queue.job(job_id).status, queue.job(job_id).attempt) == (("running", 1) if taken else ("queued", 0))


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
    assert deltas.load(queue.sessions, adapter.id) == (b"container", None)
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
        assert leases.finish(session, job_id, "worker", leases.Result(adapter_row(), b"container"))
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
    finished(queue, publish=False)
    assert versions(queue) == {1: "icons@1", 2: "icons", 3: "icons@3"}


def test_a_version_is_published_only_over_the_one_that_it_was_compared_with(queue: Queue) -> None:
    finished(queue, compared_with=leases.Compared("ad_imported meanwhile"))
    assert versions(queue) == {1: "icons@1"}
    finished(queue, compared_with=leases.Compared(None))
    assert versions(queue) == {1: "icons@1", 2: "icons"}
    finished(queue, compared_with=leases.Compared(None))
    assert versions(queue) == {1: "icons@1", 2: "icons", 3: "icons@3"}
    before = queue.tenant(lambda scope: adapters.find(scope, "icons").id)
    finished(queue, compared_with=leases.Compared(before))
    assert versions(queue) == {1: "icons@1", 2: "icons@2", 3: "icons@3", 4: "icons"}


def test_of_more_versions_than_are_kept_the_oldest_goes_that_is_not_published(queue: Queue) -> None:
    finished(queue)
    for _ in range(3):
        finished(queue, publish=False, keep=3)
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
        leases.fail(session, job_id, "worker", TrainingDiverged(step=3))
    job = queue.job(job_id)
    assert job.status == "failed"
    assert job.error == {"code": "training_diverged", "detail": TrainingDiverged.__doc__, "step": 3}


def test_a_released_job_waits_again_and_the_attempt_does_not_count(queue: Queue) -> None:
    kept, released = queue.add("kept"), queue.add("released")
    queue.claim(kept, "other worker")
    queue.claim(released)
    queue.change(released, published_at=func.clock_timestamp())
    with queue.sessions.begin() as session:
        leases.release(session, "work%")  # a name, no pattern
        leases.release(session, "worker")
    job = queue.job(released)
    assert (job.status, job.phase, job.attempt, job.lease_owner) == ("queued", "queued", 0, None)
    assert queue.job(kept).status == "running"
    assert queue.needing_message() == [released]
    assert queue.claim(released, "heir") is not None
