"""Jobs, each one training: what a tenant does with them, and the conditions and endings that all of the store shares.

The worker's side, which holds a job by a lease, is leases.py; the Celery messages that tell workers of a job are
messages.py; which job is next is scheduling.py.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, true, update
from sqlalchemy.orm import Session, defer, with_expression

from saft_core.errors import JobFinished, NameTaken
from saft_core.store import adapters, quotas
from saft_core.store.models import Job, JobStatus
from saft_core.store.scope import PageOf, Scope
from saft_core.store.summary import summary_of

UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)
NOW = func.clock_timestamp()
"""The clock of the database: those of the workers need not agree."""

_ITEM = (
    defer(Job.metrics, raiseload=True),
    defer(Job.losses, raiseload=True),
    with_expression(Job.summary, summary_of(Job.metrics)),
)


def create(scope: Scope, job: Job) -> Job:
    """Queue a job.

    Raises QuotaExceeded, and NameTaken while another job of the tenant trains a version of the same name.
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
    """A page of the tenant's jobs, newest first, each with `summary` in place of `metrics`, and without `losses`.

    Raises InvalidCursor.
    """
    return scope.page(Job, limit, cursor, options=_ITEM)


def request_cancel(scope: Scope, job_id: str) -> Job:
    """Cancel a job: at once if it waits or its lease has expired, else at the next report of its worker.

    Raises NotFound, and JobFinished for a job that succeeded or failed.
    """
    job = scope.get(Job, job_id, lock=True)
    if job.status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
        raise JobFinished(f"the job has already {job.status}")
    job.cancel_requested = True
    if job.status == JobStatus.QUEUED or scope.session.scalar(scope.select(Job, Job.id == job_id, has_expired_lease())):
        end(job, JobStatus.CANCELLED)
    scope.session.flush()
    scope.session.refresh(job)
    return job


def stop_all(scope: Scope) -> None:
    """Cancel the tenant's unfinished jobs: the queued ones at once, the running ones at their workers' next reports."""
    of_tenant = update(Job).where(scope.owns(Job))
    scope.session.execute(of_tenant.where(Job.status == JobStatus.QUEUED).values(ended_columns(JobStatus.CANCELLED)))
    scope.session.execute(of_tenant.where(Job.status == JobStatus.RUNNING).values(cancel_requested=True))


def end_cancelled(session: Session) -> None:
    """End the jobs that are to be cancelled and whose lease has expired: no worker will see the request."""
    session.execute(
        update(Job).where(has_expired_lease(), Job.cancel_requested).values(ended_columns(JobStatus.CANCELLED))
    )


def count_by_status(session: Session) -> dict[str, int]:
    """The number of jobs by status, over all tenants; a status without jobs is left out."""
    return {row[0]: row[1] for row in session.execute(select(Job.status, func.count()).group_by(Job.status))}


def is_running() -> ColumnElement[bool]:
    """The SQL condition that a worker runs the job under a lease that has not expired."""
    return and_(Job.status == JobStatus.RUNNING, Job.lease_expires_at >= NOW)


def has_expired_lease() -> ColumnElement[bool]:
    """The SQL condition that a worker claimed the job and did not renew its lease in time."""
    return and_(Job.status == JobStatus.RUNNING, Job.lease_expires_at < NOW)


def is_claimable() -> ColumnElement[bool]:
    """The SQL condition that a worker may claim the job."""
    return or_(Job.status == JobStatus.QUEUED, has_expired_lease())


def is_for_base(fingerprint: str | None) -> ColumnElement[bool]:
    """The SQL condition that the job is for the base with this fingerprint, or for any base; None is every job."""
    return true() if fingerprint is None else or_(Job.base_fingerprint.is_(None), Job.base_fingerprint == fingerprint)


def end(job: Job, status: JobStatus, error: dict[str, Any] | None = None) -> None:
    """Set the columns of a job that ends with a final status."""
    for name, value in ended_columns(status, error).items():
        setattr(job, name, value)


def ended_columns(status: JobStatus, error: dict[str, Any] | None = None) -> dict[str, Any]:
    """The columns of a job that has ended, for an UPDATE; `error` is the problem details of a failure."""
    return {
        "status": status.value,
        "phase": status.value,
        "error": error,
        "lease_owner": None,
        "lease_expires_at": None,
        "eta_seconds": None if status != JobStatus.SUCCEEDED else 0.0,
        "finished_at": NOW,
    }
