"""Jobs: from request to one result, whatever dies in between.

A worker claims a job for the length of a lease and renews it while it lives. Every write of a worker is guarded by
"this job is running and the lease is mine", so a worker that lost its job can change nothing any more. Times are the
database's: the clocks of the workers do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Update, and_, func, or_, select, update
from sqlalchemy.orm import Session

from saft_core.errors import Cancelled, JobFinished, NameTaken, SaftError, WorkerLost
from saft_core.store import adapters
from saft_core.store.models import Adapter, Job, JobStatus
from saft_core.store.scope import Scope

TRAIN_TASK = "saft.train"
UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)
REPUBLISH_AFTER = timedelta(minutes=1)
"""How long a broker that lost its messages can delay a job. A message too many costs a worker one look at the row."""

_NOW = func.clock_timestamp()


@dataclass(frozen=True)
class LeaseState:
    """What a worker learns when it writes: is the job still its own, and does the tenant want it stopped."""

    alive: bool
    cancel_requested: bool


# --- the tenant's side -----------------------------------------------------------------------------------------------


def create(scope: Scope, job: Job) -> Job:
    """Queue a job. Raises NameTaken when an adapter or an unfinished job of the tenant has its name."""
    reserve_name(scope, job.name)
    return scope.add(job)


def reserve_name(scope: Scope, name: str) -> None:
    """Hold a free adapter name until the transaction ends, so that two requests cannot both find it free.

    Raises NameTaken when an adapter or an unfinished job of the tenant has it.
    """
    scope.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{scope.tenant_id}/{name}", 0))))
    taken = scope.session.scalar(scope.select(Adapter, Adapter.name == name).limit(1))
    pending = scope.session.scalar(scope.select(Job, Job.name == name, Job.status.in_(UNFINISHED)).limit(1))
    if taken or pending:
        owner = f"adapter {taken.id}" if taken else f"job {pending.id}" if pending else ""
        raise NameTaken(f"the name {name!r} is used by {owner}; choose another name")


def request_cancel(scope: Scope, job_id: str) -> Job:
    """Cancel at once a job that waits; ask the worker of one that runs. Asking again changes nothing.

    Raises NotFound, and JobFinished for a job that succeeded or failed.
    """
    job = scope.get(Job, job_id, lock=True)
    if job.status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
        raise JobFinished(f"the job has already {job.status}")
    job.cancel_requested = True
    if job.status == JobStatus.QUEUED:
        _end(job, JobStatus.CANCELLED)
    scope.session.flush()
    scope.session.refresh(job)
    return job


# --- the worker's side -----------------------------------------------------------------------------------------------


def claim(session: Session, job_id: str, owner: str, lease_seconds: float, attempts: int) -> Job | None:
    """Take a job that waits or whose worker went silent; None if it has ended or is held.

    A job that has lost `attempts` workers fails instead, so that one that kills its worker does not go round for ever.
    """
    # Wait for whoever writes the row just now: the API notes a publication while the message is already here, and a
    # message that skipped the job then would be lost.
    job = session.scalar(select(Job).where(Job.id == job_id, _claimable()).with_for_update())
    if job is None:
        return None
    if job.cancel_requested:
        _end(job, JobStatus.CANCELLED)
        return None
    if job.attempt >= attempts:
        _end(job, JobStatus.FAILED, _problem(WorkerLost(f"the worker died {job.attempt} times on this job")))
        return None
    job.status, job.phase = JobStatus.RUNNING, "preparing"
    job.progress, job.step, job.steps, job.loss, job.losses, job.eta_seconds = 0.0, 0, 0, None, [], None
    job.attempt += 1
    job.lease_owner = owner
    job.lease_expires_at = _NOW + timedelta(seconds=lease_seconds)
    job.started_at = func.coalesce(Job.started_at, _NOW)
    session.flush()
    session.refresh(job)
    return job


def renew(session: Session, job_id: str, owner: str, lease_seconds: float) -> LeaseState:
    """Hold the job for another lease."""
    return report(session, job_id, owner, lease_seconds)


def report(session: Session, job_id: str, owner: str, lease_seconds: float, **progress: Any) -> LeaseState:
    """Write progress (columns of Job by name) and renew the lease."""
    expiry = _NOW + timedelta(seconds=lease_seconds)
    query = _held(job_id, owner).values(lease_expires_at=expiry, **progress).returning(Job.cancel_requested)
    row = session.execute(query).first()
    return LeaseState(alive=row is not None, cancel_requested=bool(row and row[0]))


def finish(
    session: Session, job_id: str, owner: str, adapter: Adapter, container: bytes, metrics: dict[str, Any]
) -> bool:
    """Publish the adapter and end the job, both or neither; False, and nothing written, when the lease was lost.

    Raises Cancelled when the tenant was promised a stop, and NameTaken; the session must then be rolled back.
    """
    job = session.scalar(select(Job).where(_mine(job_id, owner)).with_for_update())
    if job is None:
        return False
    if job.cancel_requested:
        raise Cancelled
    adapter.job_id = job.id
    adapters.add(Scope(session, job.tenant_id), adapter, container)
    job.adapter_id, job.metrics = adapter.id, metrics
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
    """Give all jobs of a worker that was told to stop back to the queue; the attempt does not count."""
    session.execute(
        update(Job)
        .where(Job.lease_owner == owner, Job.status == JobStatus.RUNNING)
        .values(
            status=JobStatus.QUEUED.value,
            phase="queued",
            attempt=Job.attempt - 1,
            lease_owner=None,
            lease_expires_at=None,
            published_at=None,
        )
    )


def lost(session: Session) -> list[str]:
    """Jobs whose message may be gone: never published, published long ago and still waiting, or their worker silent."""
    unpublished = or_(Job.published_at.is_(None), Job.published_at < _NOW - REPUBLISH_AFTER)
    waiting = and_(Job.status == JobStatus.QUEUED, unpublished)
    silent = and_(_expired(), or_(unpublished, Job.published_at < Job.lease_expires_at))
    return list(session.scalars(select(Job.id).where(or_(waiting, silent)).order_by(Job.created_at)))


def mark_published(session: Session, job_id: str) -> None:
    """Note that a message for the job is on its way."""
    session.execute(update(Job).where(Job.id == job_id).values(published_at=_NOW))


def count_by_status(session: Session) -> dict[str, int]:
    """How many jobs there are in each status, over all tenants."""
    return {row[0]: row[1] for row in session.execute(select(Job.status, func.count()).group_by(Job.status))}


def _expired() -> ColumnElement[bool]:
    return and_(Job.status == JobStatus.RUNNING, Job.lease_expires_at < _NOW)


def _claimable() -> ColumnElement[bool]:
    return or_(Job.status == JobStatus.QUEUED, _expired())


def _mine(job_id: str, owner: str) -> ColumnElement[bool]:
    return and_(Job.id == job_id, Job.status == JobStatus.RUNNING, Job.lease_owner == owner)


def _held(job_id: str, owner: str) -> Update:
    return update(Job).where(_mine(job_id, owner))


def _problem(error: SaftError) -> dict[str, Any]:
    return {"code": error.error_code, "detail": error.message, **error.details}


def _end(job: Job, status: JobStatus, error: dict[str, Any] | None = None) -> None:
    job.status, job.phase, job.error = status, status, error
    job.lease_owner = job.lease_expires_at = None
    job.eta_seconds = None if status != JobStatus.SUCCEEDED else 0.0
    job.finished_at = _NOW
