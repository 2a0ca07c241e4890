"""Whose job is next: tenants take turns, so that one that orders a hundred waits behind its own.

A message says that there is a job to do, and a worker that gets one takes the job whose turn it is, which need not be
the one that the message names. There are as many messages as jobs, so none is left over.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from saft_core.store.jobs import claimable, is_for, is_running
from saft_core.store.models import Job


def next_job(session: Session, base_fingerprint: str | None = None) -> str | None:
    """The id of the job whose turn it is, among those that wait for this base; None if none does.

    It is the oldest one of a tenant: of those with the fewest trainings under way the one whose last start is longest
    ago.
    """
    waits = (claimable(), is_for(base_fingerprint))
    waiting = select(Job.tenant_id).where(*waits).distinct().subquery()
    turn = (
        select(waiting.c.tenant_id)
        .join(Job, Job.tenant_id == waiting.c.tenant_id)
        .group_by(waiting.c.tenant_id)
        .order_by(
            func.count().filter(is_running()),
            func.max(Job.started_at).asc().nulls_first(),
            func.min(Job.created_at).filter(*waits),
            waiting.c.tenant_id,
        )
        .limit(1)
        .scalar_subquery()
    )
    oldest = select(Job.id).where(*waits, Job.tenant_id == turn).order_by(Job.created_at, Job.id)
    return session.scalar(oldest.limit(1))
