"""Tenant quotas: the usage of a tenant, and the check of its limits (saft_core/quota.py) before something is added.

Usage is counted from the rows themselves whenever it is needed, so no counter can be wrong: one query over the tenant's
images (from an index alone), adapters and jobs. A tenant without limits is not counted when it adds something. An image
counts once, however many datasets and collections refer to it. `requests_per_minute` is counted in api/rates.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, func, or_, select, true

from saft_core.errors import QuotaExceeded, Unauthorized
from saft_core.quota import Quota
from saft_core.store.models import Adapter, Image, Job, JobStatus, Owned, Tenant
from saft_core.store.scope import Scope

_ALL = true()


@dataclass(frozen=True)
class Usage:
    """What a tenant has now. Files of earlier versions count once they are adopted.

    adapters: every version counts, and so does every unfinished job, which will make one.
    """

    images: int
    storage_bytes: int
    adapters: int
    queued_jobs: int


def usage(scope: Scope) -> Usage:
    """The usage of the tenant now, in one query."""

    def totals(model: type[Owned], *counted: ColumnElement[Any], where: ColumnElement[bool] = _ALL) -> Subquery:
        named = [total.label(f"n{place}") for place, total in enumerate(counted)]
        return select(*named).where(scope.owns(model), where).subquery()

    images = totals(Image, func.count(), _sum(Image.size_bytes), where=Image.kept_at.is_not(None))
    adapters = totals(Adapter, func.count(), _sum(Adapter.delta_bytes))
    is_queued = Job.status == JobStatus.QUEUED
    unfinished = or_(is_queued, Job.status == JobStatus.RUNNING)
    jobs = totals(Job, func.count().filter(is_queued), func.count(), where=unfinished)
    row = scope.session.execute(
        select(
            images.c.n0,
            images.c.n1 + adapters.c.n1,
            adapters.c.n0 + jobs.c.n1,
            jobs.c.n0,
        ).select_from(images.join(adapters, _ALL).join(jobs, _ALL))  # of one row each
    ).one()
    return Usage(*(int(number) for number in row))


def _sum(column: Any) -> ColumnElement[Any]:
    """The sum of the values that are not null, 0 without any."""
    return func.coalesce(func.sum(column), 0)


def quota(scope: Scope) -> Quota:
    """The limits of the tenant; a tenant that does not exist has none."""
    return Quota.model_validate(scope.session.scalar(_quota(scope)) or {})


def admit(scope: Scope, **wanted: int) -> None:
    """Check that the tenant may have so much more; call it before the first row is added, in the same transaction.

    Where a limit applies, the tenant's row is locked until the transaction ends, so the next one counts its rows.

    wanted: how much is to be added, by the names of `Usage`.

    Raises QuotaExceeded, which names the quota, and Unauthorized for a tenant that was deleted.
    """
    found = scope.session.execute(select(Tenant.quota, Tenant.deleted_at).where(Tenant.id == scope.tenant_id)).first()
    if found is None or found.deleted_at is not None:
        raise Unauthorized("the tenant of this key was deleted")
    if not any(wanted[name] and found.quota.get(name) is not None for name in wanted):
        return
    limits = Quota.model_validate(scope.session.scalar(_quota(scope).with_for_update(key_share=True)) or {})
    used = asdict(usage(scope))
    for name, more in wanted.items():
        limit = getattr(limits, name)
        if more and limit is not None and used[name] + more > limit:
            raise QuotaExceeded(
                f"{name}: you have {used[name]:,}, this needs {more:,} more, and your quota is {limit:,};"
                " delete what is no longer needed, or ask the admin for a larger quota",
                quota=name,
                limit=limit,
                used=used[name],
                needed=more,
            )


def _quota(scope: Scope) -> Select[dict[str, object]]:
    return select(Tenant.quota).where(Tenant.id == scope.tenant_id)
