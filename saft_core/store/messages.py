"""The Celery messages that tell workers that there is a job, and which of them have to be sent (again).

A message carries a job id, but a worker that receives one runs the job whose turn it is (scheduling.py): there are as
many messages as jobs. A crash of the broker loses messages; the sweeper sends them again (`needing_message`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import and_, func, not_, or_, select, update
from sqlalchemy.orm import Session

from saft_core.store.database import among
from saft_core.store.jobs import NOW, is_claimable
from saft_core.store.models import Job, JobStatus

TRAIN_TASK = "saft.train"
"""The name of the Celery task; its argument is a job id."""
RESEND_AFTER = timedelta(seconds=10)
"""How long a message may be on its way to a worker before it counts as lost."""
ANY_BASE_QUEUE = "celery"
"""The queue of jobs that name no base: Celery's default, which releases that did not note the base used."""


@dataclass(frozen=True)
class Message:
    """A message to be sent: the id of a job, and the queue of its base."""

    job_id: str
    queue: str


def queue_name(base_fingerprint: str | None) -> str:
    """The queue of the jobs for one base; a worker consumes that of its own base, and ANY_BASE_QUEUE."""
    return ANY_BASE_QUEUE if base_fingerprint is None else f"saft.{base_fingerprint[:16]}"


def needing_message(session: Session, queued: Callable[[str], int]) -> list[Message]:
    """The messages to send: of jobs that never had one or whose lease has expired since, and those that a queue lost.

    queued: gives the number of messages in a queue. Where it holds fewer than there are jobs that wait, the difference
    is sent anew for the jobs whose messages are the oldest and older than RESEND_AFTER.
    """
    before_expiry = and_(Job.status == JobStatus.RUNNING, Job.published_at < Job.lease_expires_at)
    unsent = and_(is_claimable(), or_(Job.published_at.is_(None), before_expiry))
    sent = and_(is_claimable(), Job.published_at.is_not(None), not_(before_expiry))
    overdue = Job.published_at < NOW - RESEND_AFTER
    found = select(Job.id, Job.base_fingerprint).where(unsent).order_by(Job.created_at)
    messages = [Message(job_id, queue_name(base)) for job_id, base in session.execute(found)]
    counts = select(Job.base_fingerprint, func.count(), func.count().filter(overdue)).where(sent)
    for base, waiting, late in session.execute(counts.group_by(Job.base_fingerprint)).all():
        missing = min(waiting - queued(queue_name(base)), late) if late else 0
        if missing > 0:
            first = select(Job.id).where(sent, overdue, Job.base_fingerprint.is_not_distinct_from(base))
            ids = session.scalars(first.order_by(Job.published_at).limit(missing))
            messages += [Message(job_id, queue_name(base)) for job_id in ids]
    return messages


def mark_sent(session: Session, job_ids: Sequence[str]) -> None:
    """Note that messages for the jobs were sent just now."""
    session.execute(update(Job).where(among(Job.id, job_ids)).values(published_at=NOW))
