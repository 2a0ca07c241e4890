"""Which job is next: fair scheduling over tenants, so that a tenant who queues a hundred jobs delays only its own.

A worker that receives a message (messages.py) claims the job that `next_job` gives, which need not be the job that the
message names. There are as many messages as jobs, so every job is claimed in the end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from saft_core.store.jobs import is_claimable, is_for_base, is_running
from saft_core.store.models import Job, JobStatus
from saft_core.store.scope import Scope


def next_job(session: Session, base_fingerprint: str | None = None) -> str | None:
    """The id of the job to claim next, of those that wait for the base with this fingerprint; None if none waits.

    The tenant is chosen first: the one with the fewest running jobs, and of several the one whose last job started
    longest ago. Its oldest job is next.
    """
    waits = (is_claimable(), is_for_base(base_fingerprint))
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
    """A tenant with jobs that wait; `next_job` chooses the tenant with the smallest `rank`."""

    tenant_id: str
    waiting: int
    oldest: datetime | None
    running: int
    started: datetime | None
    taken: int = 0

    @property
    def rank(self) -> tuple[int, int, float, float, str]:
        """The order of `next_job`; a tenant that was chosen earlier in the simulation (`taken`) comes later."""
        started = self.started.timestamp() if self.started else 0.0
        oldest = self.oldest.timestamp() if self.oldest else 0.0
        return self.running, self.taken, started, oldest, self.tenant_id


def queue_position(scope: Scope, job: Job) -> int | None:
    """The place of a queued job over all tenants, 1 if it is next; None if the job is not queued.

    It assumes that no more jobs are queued, and that the running ones end in the order in which they started.
    """
    if job.status != JobStatus.QUEUED:
        return None
    session, waits = scope.session, (is_claimable(), is_for_base(job.base_fingerprint))
    before = (Job.created_at < job.created_at) | ((Job.created_at == job.created_at) & (Job.id < job.id))
    own = session.scalar(select(func.count()).select_from(Job).where(scope.owns(Job), *waits, before)) or 0
    under_way = select(Job.tenant_id).where(is_running(), is_for_base(job.base_fingerprint)).order_by(Job.started_at)
    tenants = {tenant.tenant_id: tenant for tenant in _tenants(session, job.base_fingerprint)}
    return _claims_until(tenants, deque(session.scalars(under_way)), scope.tenant_id, own + 1)


def _tenants(session: Session, base_fingerprint: str | None) -> list[_Tenant]:
    """The tenants with a job that waits for the base."""
    waits = is_claimable() & is_for_base(base_fingerprint)
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


def _claims_until(tenants: dict[str, _Tenant], under_way: deque[str], tenant_id: str, own: int) -> int:
    """How many jobs are claimed until `own` of them are the tenant's."""
    claims = 0
    while own and tenants:
        if under_way and (ended := tenants.get(under_way.popleft())) is not None:
            ended.running -= 1
        chosen = min(tenants.values(), key=lambda tenant: tenant.rank)
        claims += 1
        own -= chosen.tenant_id == tenant_id
        chosen.waiting, chosen.running, chosen.taken = chosen.waiting - 1, chosen.running + 1, claims
        under_way.append(chosen.tenant_id)
        if not chosen.waiting:
            del tenants[chosen.tenant_id]
    return claims
