"""The worker's side of a job: claimed for the length of a lease, renewed, and ended.

Every write of a worker has the condition "the job is running and its lease is mine" (`_is_held`), so a worker that lost
its lease changes nothing. Lease times are compared with the database's clock only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from saft_core.comparison import Answered
from saft_core.errors import Cancelled, SaftError, WorkerLost
from saft_core.store import adapters
from saft_core.store.jobs import NOW, UNFINISHED, end, is_claimable, is_for_base
from saft_core.store.models import Adapter, AdapterMistake, Job, JobStatus
from saft_core.store.scope import Scope


@dataclass(frozen=True)
class LeaseState:
    """The answer to a renewal.

    held: whether the lease is still the worker's. cancel_requested: whether the tenant asked to cancel the job.
    """

    held: bool
    cancel_requested: bool


@dataclass(frozen=True)
class Compared:
    """The published version that a new one was compared with, by its id; None where no version was published."""

    adapter_id: str | None


def claim(
    session: Session,
    job_id: str,
    owner: str,
    lease_seconds: float,
    attempts: int,
    base_fingerprint: str | None = None,
) -> Job | None:
    """Claim a job that is queued or whose lease has expired; None if it ended, is held, or is for another base.

    A job that `owner` holds already is returned again: the answer to its first claim was lost. A job on which
    `attempts` workers died fails instead, so that a job that kills its worker is not retried for ever.

    owner: names this claim; every later write of the worker gives it again. lease_seconds: how long the claim holds
    without a renewal. base_fingerprint: the base of the worker; None claims a job for any base.
    """
    # The lock waits for whoever writes the row just now: the API notes that the message was sent while a worker has it
    # already, and a worker that skipped the locked row would lose the message.
    free = and_(is_claimable(), is_for_base(base_fingerprint))
    query = select(Job).where(Job.id == job_id, or_(free, _is_held(job_id, owner))).with_for_update()
    job = session.scalar(query)
    if job is None or _end_instead(job, owner, attempts):
        return None
    if job.lease_owner != owner:
        job.status, job.phase = JobStatus.RUNNING, "preparing"
        # The curve and the seconds stay: the attempt goes on from them. So do metrics, which are the base's.
        job.progress, job.step, job.steps, job.loss, job.eta_seconds = 0.0, 0, 0, None, None
        job.attempt += 1
        job.lease_owner = owner
        job.started_at = func.coalesce(Job.started_at, NOW)
    job.lease_expires_at = NOW + timedelta(seconds=lease_seconds)
    session.flush()
    session.refresh(job)
    return job


def held_by(session: Session, owner: str) -> str | None:
    """The id of the job whose lease `owner` holds; None if it holds none."""
    return session.scalar(select(Job.id).where(Job.status == JobStatus.RUNNING, Job.lease_owner == owner))


def _end_instead(job: Job, owner: str, attempts: int) -> bool:
    """End a job that is not to be run: one that was cancelled, or has no attempts left. Whether the job has ended."""
    if job.cancel_requested:
        end(job, JobStatus.CANCELLED)
    elif job.attempt >= attempts and job.lease_owner != owner:
        end(job, JobStatus.FAILED, _problem(WorkerLost(f"the worker died {job.attempt} times on this job")))
    return job.status not in UNFINISHED


def renew(session: Session, job_id: str, owner: str, lease_seconds: float, **progress: Any) -> LeaseState:
    """Renew the lease, and write progress (columns of `Job`, by name) in the same statement."""
    expiry = NOW + timedelta(seconds=lease_seconds)
    query = update(Job).where(_is_held(job_id, owner)).values(lease_expires_at=expiry, **progress)
    row = session.execute(query.returning(Job.cancel_requested)).first()
    return LeaseState(held=row is not None, cancel_requested=bool(row and row[0]))


@dataclass(frozen=True)
class Result:
    """The result of a job that succeeded: a version with all that `adapters.add` writes with it.

    publish: whether the version becomes the published one.
    compared_with: if given, the version is published only while this one still is.
    keep: how many versions of the name are kept.
    """

    adapter: Adapter
    container: bytes
    mistakes: Sequence[AdapterMistake] = ()
    answers: Mapping[str, Answered] = field(default_factory=dict)
    class_embeddings: bytes | None = None
    publish: bool = True
    compared_with: Compared | None = None
    keep: int = 10


def finish(session: Session, job_id: str, owner: str, result: Result) -> bool:
    """Write the version, publish it if the result says so, and end the job, in one transaction.

    False, and nothing written, when the lease was lost.

    Raises Cancelled when the tenant has asked to cancel the job, and NameTaken; roll the session back then.
    """
    job = session.scalar(select(Job).where(_is_held(job_id, owner)).with_for_update())
    if job is None:
        return False
    if job.cancel_requested:
        raise Cancelled
    scope, adapter = Scope(session, job.tenant_id, job.key_id), result.adapter
    adapter.job_id = job.id
    adapters.add(scope, adapter, result.container, result.mistakes, result.answers, result.class_embeddings)
    published = adapters.published(scope, adapter.name)
    if result.publish and result.compared_with in (None, Compared(published.id if published else None)):
        adapters.publish(scope, adapter)
    adapters.drop_oldest(scope, adapter.name, result.keep)
    job.adapter_id, job.metrics = adapter.id, adapter.metrics
    job.progress, job.eta_seconds = 1.0, 0.0
    end(job, JobStatus.SUCCEEDED)
    return True


def fail(session: Session, job_id: str, owner: str, error: SaftError) -> None:
    """End the job as failed, with the error in its row; does nothing when the lease was lost."""
    job = session.scalar(select(Job).where(_is_held(job_id, owner)).with_for_update())
    if job is not None:
        end(job, JobStatus.FAILED, _problem(error))


def cancel(session: Session, job_id: str, owner: str) -> None:
    """End the job as cancelled; does nothing when the lease was lost."""
    job = session.scalar(select(Job).where(_is_held(job_id, owner)).with_for_update())
    if job is not None:
        end(job, JobStatus.CANCELLED)


def release(session: Session, owner: str) -> None:
    """Put the jobs of a worker that stops back in the queue, without counting the attempt.

    A job that is to be cancelled ends instead.

    owner: the owner of a claim, or the common prefix of the owners of several.
    """
    held = and_(Job.lease_owner.startswith(owner, autoescape=True), Job.status == JobStatus.RUNNING)
    for job in session.scalars(select(Job).where(held).with_for_update()):
        if job.cancel_requested:
            end(job, JobStatus.CANCELLED)
            continue
        job.status, job.phase, job.attempt = JobStatus.QUEUED, "queued", job.attempt - 1
        job.lease_owner = job.lease_expires_at = job.published_at = None


def _is_held(job_id: str, owner: str) -> ColumnElement[bool]:
    """The SQL condition under which every write of a worker stands."""
    return and_(Job.id == job_id, Job.status == JobStatus.RUNNING, Job.lease_owner == owner)


def _problem(error: SaftError) -> dict[str, Any]:
    return {"code": error.error_code, "detail": error.message, **error.details}
