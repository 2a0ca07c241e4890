"""Whose job is next: tenants take turns, so that one that orders a hundred waits behind its own.

A message says that there is a job to do, and a worker that gets one takes the job whose turn it is, which need not be
the one that the message names. There are as many messages as jobs, so none is left over.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from saft_core.store.jobs import claimable, is_for, is_running
from saft_core.store.models import Job, JobStatus
from saft_core.store.scope import Scope


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


@dataclass
class _Tenant:
    """A tenant as the turns see him: `next_job` takes the smallest of `rank` that has a job waiting."""

    tenant_id: str
    waiting: int
    oldest: datetime | None
    running: int
    started: datetime | None
    taken: int = 0

    @property
    def rank(self) -> tuple[int, int, float, float, str]:
        """By `next_job`'s order; who was taken in this count started after all others, in the order of `taken`."""
        started = self.started.timestamp() if self.started else 0.0
        oldest = self.oldest.timestamp() if self.oldest else 0.0
        return self.running, self.taken, started, oldest, self.tenant_id


def position(scope: Scope, job: Job) -> int | None:
    """The place of a job that waits, 1 if it is next; None if it does not wait. Nothing else of other tenants is told.

    As `next_job` will take them if no others are ordered, and the trainings under way end in the order they began.
    """
    if job.status != JobStatus.QUEUED:
        return None
    session, waits = scope.session, (claimable(), is_for(job.base_fingerprint))
    before = (Job.created_at < job.created_at) | ((Job.created_at == job.created_at) & (Job.id < job.id))
    own = session.scalar(select(func.count()).select_from(Job).where(scope.owns(Job), *waits, before)) or 0
    under_way = select(Job.tenant_id).where(is_running(), is_for(job.base_fingerprint)).order_by(Job.started_at)
    tenants = {tenant.tenant_id: tenant for tenant in _tenants(session, job.base_fingerprint)}
    return _turns_until(tenants, deque(session.scalars(under_way)), scope.tenant_id, own + 1)


def _tenants(session: Session, base_fingerprint: str | None) -> list[_Tenant]:
    """Those who have a job waiting for the base."""
    waits = claimable() & is_for(base_fingerprint)
    waiting = select(Job.tenant_id).where(waits).distinct().scalar_subquery()
    found = (
        select(
            Job.tenant_id,
            func.count().filter(waits),
            func.min(Job.created_at).filter(waits),
            func.count().filter(is_running()),
            func.max(Job.started_at),
        )
        .where(Job.tenant_id.in_(waiting))
        .group_by(Job.tenant_id)
    )
    return [_Tenant(*row) for row in session.execute(found)]


def _turns_until(tenants: dict[str, _Tenant], under_way: deque[str], tenant_id: str, own: int) -> int:
    """How many turns there are until the tenant has had so many of his own; who has none waiting any more has none."""
    turns = 0
    while own and tenants:
        if under_way and (ended := tenants.get(under_way.popleft())) is not None:
            ended.running -= 1
        chosen = min(tenants.values(), key=lambda tenant: tenant.rank)
        turns += 1
        own -= chosen.tenant_id == tenant_id
        chosen.waiting, chosen.running, chosen.taken = chosen.waiting - 1, chosen.running + 1, turns
        under_way.append(chosen.tenant_id)
        if not chosen.waiting:
            del tenants[chosen.tenant_id]
    return turns
