"""Jobs: from request to one result, whatever dies in between.

A worker claims a job for the length of a lease and renews it while it lives. Every write of a worker is guarded by
"this job is running and the lease is mine", so a worker that lost its job can change nothing any more. Times are the
database's: the clocks of the workers do not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Update, and_, func, not_, or_, select, true, update
from sqlalchemy.orm import Session, defer, with_expression

from saft_core.comparison import Answered
from saft_core.errors import Cancelled, JobFinished, NameTaken, SaftError, WorkerLost
from saft_core.store import adapters, quotas
from saft_core.store.database import among
from saft_core.store.models import Adapter, AdapterMistake, Job, JobStatus
from saft_core.store.scope import PageOf, Scope
from saft_core.store.summary import summary_of

TRAIN_TASK = "saft.train"
UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)
REPUBLISH_AFTER = timedelta(seconds=10)
"""How long a broker that lost its messages can delay a job, and a message may be on its way to a worker."""
ANY_BASE_QUEUE = "celery"
"""Where jobs wait whose base is not known: Celery's own default, for versions that did not note the base used it."""

_NOW = func.clock_timestamp()
_ITEM = (
    defer(Job.metrics, raiseload=True),
    defer(Job.losses, raiseload=True),
    with_expression(Job.summary, summary_of(Job.metrics)),
)


@dataclass(frozen=True)
class Message:
    """What tells the workers of a job: its id, in the queue of its base."""

    job_id: str
    queue: str


@dataclass(frozen=True)
class LeaseState:
    """What a worker learns when it writes: is the job still its own, and does the tenant want it stopped."""

    alive: bool
    cancel_requested: bool


def queue_of(base_fingerprint: str | None) -> str:
    """The queue of a base: workers take from that of their own, so a job for another base does not come their way."""
    return ANY_BASE_QUEUE if base_fingerprint is None else f"saft.{base_fingerprint[:16]}"


# --- the tenant's side -----------------------------------------------------------------------------------------------


def create(scope: Scope, job: Job) -> Job:
    """Queue a job.

    Raises QuotaExceeded, and NameTaken when an unfinished job of the tenant makes a version of the same name.
    """
    adapters.lock_name(scope, job.name)
    pending = scope.session.scalar(scope.select(Job, Job.name == job.name, Job.status.in_(UNFINISHED)).limit(1))
    if pending:
        raise NameTaken(
            f"job {pending.id} makes the next version of {job.name!r} just now; wait for its end, cancel it, or choose"
            " another name"
        )
    quotas.admit(scope, adapters=1, queued_jobs=1)
    job.key_id = scope.key_id
    return scope.add(job)


def page(scope: Scope, limit: int, cursor: str | None) -> PageOf[Job]:
    """Jobs, newest first, with a summary in place of their metrics and without the curve. Raises InvalidCursor."""
    return scope.page(Job, limit, cursor, options=_ITEM)


def request_cancel(scope: Scope, job_id: str) -> Job:
    """Cancel at once a job that waits or whose worker is silent; ask the worker of one that runs.

    Raises NotFound, and JobFinished for a job that succeeded or failed.
    """
    job = scope.get(Job, job_id, lock=True)
    if job.status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
        raise JobFinished(f"the job has already {job.status}")
    job.cancel_requested = True
    if job.status == JobStatus.QUEUED or scope.session.scalar(scope.select(Job, Job.id == job_id, is_silent())):
        _end(job, JobStatus.CANCELLED)
    scope.session.flush()
    scope.session.refresh(job)
    return job


def stop_all(scope: Scope) -> None:
    """Cancel the tenant's jobs: those that wait at once, those that run within a step of their workers."""
    of_tenant = update(Job).where(scope.owns(Job))
    scope.session.execute(of_tenant.where(Job.status == JobStatus.QUEUED).values(_ending(JobStatus.CANCELLED)))
    scope.session.execute(of_tenant.where(Job.status == JobStatus.RUNNING).values(cancel_requested=True))


# --- the worker's side -----------------------------------------------------------------------------------------------


def claim(
    session: Session,
    job_id: str,
    owner: str,
    lease_seconds: float,
    attempts: int,
    base_fingerprint: str | None = None,
) -> Job | None:
    """Take a job that waits or whose worker went silent; None if it has ended, is held, or is for another base.

    A job that `owner` holds already is given again: the answer to its first claim was lost. A job that has lost
    `attempts` workers fails instead, so that one that kills its worker does not go round for ever.

    base_fingerprint: the base of the worker; None takes a job for any base, as any worker takes a job that names none.
    """
    # Wait for whoever writes the row just now: the API notes a publication while the message is already here, and a
    # message that skipped the job then would be lost.
    free = and_(claimable(), is_for(base_fingerprint))
    query = select(Job).where(Job.id == job_id, or_(free, _mine(job_id, owner))).with_for_update()
    job = session.scalar(query)
    if job is None or _end_instead(job, owner, attempts):
        return None
    if job.lease_owner != owner:
        job.status, job.phase = JobStatus.RUNNING, "preparing"
        # The curve and the seconds stay: the attempt goes on from them. So do metrics, which are the base's.
        job.progress, job.step, job.steps, job.loss, job.eta_seconds = 0.0, 0, 0, None, None
        job.attempt += 1
        job.lease_owner = owner
        job.started_at = func.coalesce(Job.started_at, _NOW)
    job.lease_expires_at = _NOW + timedelta(seconds=lease_seconds)
    session.flush()
    session.refresh(job)
    return job


def held_by(session: Session, owner: str) -> str | None:
    """The id of the job that `owner` holds."""
    return session.scalar(select(Job.id).where(Job.status == JobStatus.RUNNING, Job.lease_owner == owner))


def _end_instead(job: Job, owner: str, attempts: int) -> bool:
    """End a job that is not to be taken: cancelled meanwhile, or out of attempts. Whether it was ended."""
    if job.cancel_requested:
        _end(job, JobStatus.CANCELLED)
    elif job.attempt >= attempts and job.lease_owner != owner:
        _end(job, JobStatus.FAILED, _problem(WorkerLost(f"the worker died {job.attempt} times on this job")))
    return job.status not in UNFINISHED


def report(session: Session, job_id: str, owner: str, lease_seconds: float, **progress: Any) -> LeaseState:
    """Write progress (columns of Job by name) and renew the lease."""
    expiry = _NOW + timedelta(seconds=lease_seconds)
    query = _held(job_id, owner).values(lease_expires_at=expiry, **progress).returning(Job.cancel_requested)
    row = session.execute(query).first()
    return LeaseState(alive=row is not None, cancel_requested=bool(row and row[0]))


@dataclass(frozen=True)
class Result:
    """What a job ends with: a version, its container, what it gets wrong and what it answers (`adapters.add`).

    publishes: whether the version answers its name from now on. only_over: if given, only while the version with this
        id does, or nobody for None.
    keep: how many versions of the name may be left.
    """

    adapter: Adapter
    container: bytes
    mistakes: Sequence[AdapterMistake] = ()
    answers: Mapping[str, Answered] = field(default_factory=dict)
    publishes: bool = True
    only_over: tuple[str | None] | None = None
    keep: int = 10


def finish(session: Session, job_id: str, owner: str, result: Result) -> bool:
    """Write the version, publish it if it is to be, and end the job: all or nothing.

    False, and nothing written, when the lease was lost.

    Raises Cancelled when the tenant was promised a stop, and NameTaken; the session must then be rolled back.
    """
    job = session.scalar(select(Job).where(_mine(job_id, owner)).with_for_update())
    if job is None:
        return False
    if job.cancel_requested:
        raise Cancelled
    scope, adapter = Scope(session, job.tenant_id, job.key_id), result.adapter
    adapter.job_id = job.id
    adapters.add(scope, adapter, result.container, result.mistakes, result.answers)
    before = adapters.published(scope, adapter.name)
    if result.publishes and result.only_over in (None, (before.id if before else None,)):
        adapters.publish(scope, adapter)
    adapters.drop_oldest(scope, adapter.name, result.keep)
    job.adapter_id, job.metrics = adapter.id, adapter.metrics
    job.progress, job.eta_seconds = 1.0, 0.0
    _end(job, JobStatus.SUCCEEDED)
    return True


def fail(session: Session, job_id: str, owner: str, error: SaftError) -> None:
    """End the job with an error, unless the lease was lost."""
    job = session.scalar(select(Job).where(_mine(job_id, owner)).with_for_update())
    if job is not None:
        _end(job, JobStatus.FAILED, _problem(error))


def cancel(session: Session, job_id: str, owner: str) -> None:
    """End the job as cancelled, unless the lease was lost."""
    job = session.scalar(select(Job).where(_mine(job_id, owner)).with_for_update())
    if job is not None:
        _end(job, JobStatus.CANCELLED)


def release(session: Session, owner: str) -> None:
    """Give all jobs of a worker that stops back to the queue; the attempt does not count.

    owner: as claimed with, or what the names of several claims begin with. Jobs whose tenant waits for a stop end.
    """
    held = and_(Job.lease_owner.startswith(owner, autoescape=True), Job.status == JobStatus.RUNNING)
    for job in session.scalars(select(Job).where(held).with_for_update()):
        if job.cancel_requested:
            _end(job, JobStatus.CANCELLED)
            continue
        job.status, job.phase, job.attempt = JobStatus.QUEUED, "queued", job.attempt - 1
        job.lease_owner = job.lease_expires_at = job.published_at = None


def lost(session: Session, queued: Callable[[str], int]) -> list[Message]:
    """The messages that may be gone: never sent, of a silent worker, or sent a while ago and missing from their queue.

    queued: how many messages a queue holds. A message gives one worker a turn, whichever job it names (turns.py), so
    those that are missing are sent for the jobs whose messages are the oldest.
    """
    before_silence = and_(Job.status == JobStatus.RUNNING, Job.published_at < Job.lease_expires_at)
    unsent = and_(claimable(), or_(Job.published_at.is_(None), before_silence))
    sent = and_(claimable(), Job.published_at.is_not(None), not_(before_silence))
    overdue = Job.published_at < _NOW - REPUBLISH_AFTER
    found = select(Job.id, Job.base_fingerprint).where(unsent).order_by(Job.created_at)
    messages = [Message(job_id, queue_of(base)) for job_id, base in session.execute(found)]
    counts = select(Job.base_fingerprint, func.count(), func.count().filter(overdue)).where(sent)
    for base, waiting, late in session.execute(counts.group_by(Job.base_fingerprint)).all():
        missing = min(waiting - queued(queue_of(base)), late) if late else 0
        if missing > 0:
            first = select(Job.id).where(sent, overdue, Job.base_fingerprint.is_not_distinct_from(base))
            ids = session.scalars(first.order_by(Job.published_at).limit(missing))
            messages += [Message(job_id, queue_of(base)) for job_id in ids]
    return messages


def mark_published(session: Session, job_ids: Sequence[str]) -> None:
    """Note that messages for the jobs are on their way."""
    session.execute(update(Job).where(among(Job.id, job_ids)).values(published_at=_NOW))


def end_cancelled(session: Session) -> None:
    """End the jobs that were to stop and whose worker is silent."""
    session.execute(update(Job).where(is_silent(), Job.cancel_requested).values(_ending(JobStatus.CANCELLED)))


def count_by_status(session: Session) -> dict[str, int]:
    """How many jobs there are in each status, over all tenants."""
    return {row[0]: row[1] for row in session.execute(select(Job.status, func.count()).group_by(Job.status))}


def is_running() -> ColumnElement[bool]:
    """The condition that a worker is at the job, and lives."""
    return and_(Job.status == JobStatus.RUNNING, Job.lease_expires_at >= _NOW)


def is_silent() -> ColumnElement[bool]:
    """The condition that a worker took the job and went silent."""
    return and_(Job.status == JobStatus.RUNNING, Job.lease_expires_at < _NOW)


def claimable() -> ColumnElement[bool]:
    """The condition that the job may be taken."""
    return or_(Job.status == JobStatus.QUEUED, is_silent())


def is_for(fingerprint: str | None) -> ColumnElement[bool]:
    """The condition that the job is for this base, or for any."""
    return true() if fingerprint is None else or_(Job.base_fingerprint.is_(None), Job.base_fingerprint == fingerprint)


def _mine(job_id: str, owner: str) -> ColumnElement[bool]:
    return and_(Job.id == job_id, Job.status == JobStatus.RUNNING, Job.lease_owner == owner)


def _held(job_id: str, owner: str) -> Update:
    return update(Job).where(_mine(job_id, owner))


def _problem(error: SaftError) -> dict[str, Any]:
    return {"code": error.error_code, "detail": error.message, **error.details}


def _end(job: Job, status: JobStatus, error: dict[str, Any] | None = None) -> None:
    for name, value in _ending(status, error).items():
        setattr(job, name, value)


def _ending(status: JobStatus, error: dict[str, Any] | None = None) -> dict[str, Any]:
    """The columns of a job that has ended."""
    return {
        "status": status.value,
        "phase": status.value,
        "error": error,
        "lease_owner": None,
        "lease_expires_at": None,
        "eta_seconds": None if status != JobStatus.SUCCEEDED else 0.0,
        "finished_at": _NOW,
    }
