"""A tenant's copy of the shipped example (saft_core/example.py), found by its contents: no table refers to it."""

from __future__ import annotations

import itertools

from sqlalchemy import func, or_, select

from saft_core.errors import Conflict
from saft_core.store import adapters
from saft_core.store.jobs import UNFINISHED
from saft_core.store.models import Adapter, AdapterDelta, AdapterMistake, Dataset, DatasetImage, Job, JobStatus
from saft_core.store.scope import Scope

Contents = frozenset[tuple[str, str]]
"""Label and SHA-256 of each image of a dataset."""
Pair = tuple[str, str]
"""The ids of the dataset to train on and of that to test on."""


def lock(scope: Scope) -> None:
    """Lock the tenant's example until the transaction ends; to be called before a part of it is made."""
    key = func.hashtextextended(f"{scope.tenant_id}/the example", 0)
    scope.session.execute(select(func.pg_advisory_xact_lock(key)))


def dataset(scope: Scope, name: str, contents: Contents) -> Dataset | None:
    """The newest dataset of this name with exactly these images; None without one."""
    found = scope.select(Dataset, Dataset.name == name, Dataset.image_count == len(contents))
    for one in scope.session.scalars(found.order_by(Dataset.created_at.desc(), Dataset.id)):
        images = scope.select(DatasetImage, DatasetImage.dataset_id == one.id)
        if {(image.label, image.sha256) for image in scope.session.scalars(images)} == contents:
            return one
    return None


def adapter(scope: Scope, pair: Pair, base_fingerprint: str, container: bytes, mistakes: int) -> Adapter | None:
    """The version with this delta container and so many mistakes in these two datasets; None without one."""
    of_container = (
        Adapter.base_fingerprint == base_fingerprint,
        Adapter.delta_bytes == len(container),
        select(AdapterDelta)
        .where(scope.owns(AdapterDelta), AdapterDelta.adapter_id == Adapter.id, AdapterDelta.delta == container)
        .exists(),
    )
    in_pair = select(func.count()).where(
        scope.owns(AdapterMistake), AdapterMistake.adapter_id == Adapter.id, AdapterMistake.dataset_id.in_(pair)
    )
    query = scope.select(Adapter, *of_container, in_pair.scalar_subquery() == mistakes)
    return scope.session.scalar(query.order_by(Adapter.created_at, Adapter.id).limit(1))


def job(scope: Scope, pair: Pair, base_fingerprint: str) -> tuple[Job, str | None] | None:
    """A job on these two datasets with the base's default settings, and the id of its adapter once it has one.

    None if there is no such job that is unfinished, or finished and its adapter not deleted.
    """
    train, test = pair
    of_pair = (Job.dataset_id == train, Job.test_dataset_id == test, Job.base_fingerprint == base_fingerprint)
    lives = (*UNFINISHED, JobStatus.SUCCEEDED)
    for one in scope.session.scalars(scope.select(Job, *of_pair, Job.status.in_(lives)).order_by(Job.created_at)):
        made = scope.session.scalar(scope.select(Adapter, Adapter.job_id == one.id))
        if one.asked == {} and (made is not None or one.status in UNFINISHED):
            return one, made.id if made else None
    return None


def images(scope: Scope, pair: Pair) -> dict[str, DatasetImage]:
    """The images of both datasets by SHA-256; both datasets are locked until the transaction ends.

    Raises Conflict if one of them was deleted just now.
    """
    held = scope.session.scalars(scope.select(Dataset, Dataset.id.in_(pair)).with_for_update(read=True))
    if len(list(held)) < len(pair):
        raise Conflict("the sample photographs were deleted just now; send the request again")
    of_pair = scope.select(DatasetImage, DatasetImage.dataset_id.in_(pair))
    return {image.sha256: image for image in scope.session.scalars(of_pair)}


def free_name(scope: Scope, name: str) -> str:
    """The name, or `name-2` and so on, that no adapter and no unfinished job has; locked."""
    for number in itertools.count(1):
        tried = name if number == 1 else f"{name}-{number}"
        adapters.lock_name(scope, tried)
        if not _is_taken(scope, tried):
            return tried
    raise AssertionError  # for the type checker: a count does not end


def _is_taken(scope: Scope, name: str) -> bool:
    versions = scope.select(Adapter, or_(Adapter.name == name, Adapter.called == name)).limit(1)
    pending = scope.select(Job, Job.name == name, Job.status.in_(UNFINISHED)).limit(1)
    return scope.session.scalar(versions) is not None or scope.session.scalar(pending) is not None
