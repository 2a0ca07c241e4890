"""What a tenant has, and whether it may have more.

What a tenant has is counted when it is asked for, off the rows themselves, so that no counter can be wrong: it takes
one query over the tenant's datasets, adapters and jobs, and over the images of its collections, by an index. A tenant
without limits is not counted when it creates something.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, bindparam, func, or_, select, true, update
from sqlalchemy.orm import Session, sessionmaker

from saft_core.errors import QuotaExceeded, Unauthorized
from saft_core.quota import Quota
from saft_core.store.blobs import BlobStore
from saft_core.store.models import Adapter, CollectionImage, Dataset, DatasetImage, Job, JobStatus, Owned, Tenant
from saft_core.store.scope import Scope

MEASURED_AT_ONCE = 1_000
"""Datasets, and images of collections, that one sweep measures at most."""
MEASURE_SECONDS = 2.0
"""How long one sweep measures: what is far away takes its time, and other work of the sweeper waits."""

_DATASETS, _IMAGES = Dataset.__table__, CollectionImage.__table__
_ALL = true()


@dataclass(frozen=True)
class Usage:
    """What a tenant has. Files of rows that a version before wrote count from when the sweeper has measured them.

    adapters: with those that unfinished jobs will make.
    """

    images: int
    storage_bytes: int
    adapters: int
    queued_jobs: int


def usage(scope: Scope) -> Usage:
    """What the tenant has now."""

    def totals(model: type[Owned], *counted: ColumnElement[Any], where: ColumnElement[bool] = _ALL) -> Subquery:
        named = [total.label(f"n{place}") for place, total in enumerate(counted)]
        return select(*named).where(scope.owns(model), where).subquery()

    datasets = totals(Dataset, _sum(Dataset.image_count), _sum(_DATASETS.c.size_bytes))
    images = totals(CollectionImage, func.count(), _sum(_IMAGES.c.size_bytes))
    adapters = totals(Adapter, func.count(), _sum(Adapter.delta_bytes))
    is_queued = Job.status == JobStatus.QUEUED
    unfinished = or_(is_queued, Job.status == JobStatus.RUNNING)
    jobs = totals(Job, func.count().filter(is_queued), func.count(), where=unfinished)
    row = scope.session.execute(
        select(
            datasets.c.n0 + images.c.n0,
            datasets.c.n1 + images.c.n1 + adapters.c.n1,
            adapters.c.n0 + jobs.c.n1,
            jobs.c.n0,
        ).select_from(datasets.join(images, _ALL).join(adapters, _ALL).join(jobs, _ALL))  # of one row each
    ).one()
    return Usage(*(int(number) for number in row))


def _sum(column: Any) -> ColumnElement[Any]:
    """The sum of what is known, 0 of nothing."""
    return func.coalesce(func.sum(column), 0)


def quota(scope: Scope) -> Quota:
    """The limits of the tenant; none of one that is gone."""
    return Quota.model_validate(scope.session.scalar(_quota(scope)) or {})


def admit(scope: Scope, **wanted: int) -> None:
    """Whether the tenant may have so much more. Call it before the first row is added, in the same transaction.

    Of transactions that ask for a tenant with such a limit one at a time goes on, until its end: what one of them adds
    the next one counts.

    wanted: by the names of `Usage`.

    Raises QuotaExceeded, and Unauthorized for a tenant that was deleted.
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


def measure(sessions: sessionmaker[Session], blobs: BlobStore) -> None:
    """Note the size of files whose rows do not say it, for MEASURE_SECONDS; the sweeper calls it again and again."""
    deadline = time.monotonic() + MEASURE_SECONDS
    with sessions() as session:
        datasets = session.scalars(select(Dataset.id).where(Dataset.size_bytes.is_(None)).limit(MEASURED_AT_ONCE)).all()
        unmeasured = select(CollectionImage.id, CollectionImage.collection_id, CollectionImage.sha256)
        images = session.execute(unmeasured.where(CollectionImage.size_bytes.is_(None)).limit(MEASURED_AT_ONCE)).all()
    for dataset_id in datasets:
        if time.monotonic() < deadline:
            _write(sessions, Dataset, {dataset_id: _size_of_dataset(sessions, blobs, dataset_id)})
    sizes: dict[str, int] = {}
    for image_id, collection_id, sha256 in images:
        if time.monotonic() < deadline:
            sizes[image_id] = blobs.size(collection_id, sha256)
    _write(sessions, CollectionImage, sizes)


def _size_of_dataset(sessions: sessionmaker[Session], blobs: BlobStore, dataset_id: str) -> int:
    with sessions() as session:
        query = select(DatasetImage.sha256).where(DatasetImage.dataset_id == dataset_id)
        files = session.scalars(query.distinct()).all()
    return sum(blobs.size(dataset_id, sha256) for sha256 in files)


def _write(
    sessions: sessionmaker[Session], model: type[Dataset] | type[CollectionImage], sizes: dict[str, int]
) -> None:
    """Write sizes by id; a row that is gone by now is none to be written."""
    if sizes:
        table = model.__table__
        statement = update(model).where(table.c.id == bindparam("row_id")).values(size_bytes=bindparam("size"))
        with sessions.begin() as session:
            session.connection().execute(statement, [{"row_id": i, "size": size} for i, size in sizes.items()])
