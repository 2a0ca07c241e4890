"""Datasets: immutable labelled image sets."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_

from saft_core.errors import Conflict, NotFound
from saft_core.store.jobs import UNFINISHED
from saft_core.store.models import Dataset, DatasetImage, Job
from saft_core.store.scope import Scope


def add(scope: Scope, dataset: Dataset, images: Sequence[DatasetImage]) -> Dataset:
    """Write a dataset and its images, in the order of their positions."""
    scope.add(dataset)
    for image in images:
        image.tenant_id, image.dataset_id = scope.tenant_id, dataset.id
    scope.session.add_all(images)
    scope.session.flush()
    return dataset


def load(scope: Scope, dataset_id: str) -> tuple[Dataset, Sequence[DatasetImage]]:
    """A dataset and all its images by position. Raises NotFound."""
    dataset = scope.get(Dataset, dataset_id)
    return dataset, images(scope, dataset_id)


def images(scope: Scope, dataset_id: str, after: int = -1, limit: int | None = None) -> Sequence[DatasetImage]:
    """Images with a position above `after`."""
    of_dataset = (DatasetImage.dataset_id == dataset_id, DatasetImage.position > after)
    query = scope.select(DatasetImage, *of_dataset).order_by(DatasetImage.position).limit(limit)
    return scope.session.scalars(query).all()


def image(scope: Scope, dataset_id: str, position: int) -> DatasetImage:
    """One image. Raises NotFound."""
    of_dataset = (DatasetImage.dataset_id == dataset_id, DatasetImage.position == position)
    found = scope.session.scalar(scope.select(DatasetImage, *of_dataset))
    if found is None:
        raise NotFound(f"dataset {dataset_id} has no image {position}")
    return found


def delete(scope: Scope, dataset_id: str) -> None:
    """Remove a dataset. Raises NotFound, and Conflict while a job still needs it."""
    dataset = scope.get(Dataset, dataset_id, lock=True)
    uses = or_(Job.dataset_id == dataset_id, Job.test_dataset_id == dataset_id)
    job = scope.session.scalar(scope.select(Job, uses, Job.status.in_(UNFINISHED)).limit(1))
    if job is not None:
        raise Conflict(f"job {job.id} is using this dataset; wait for its end or cancel it")
    scope.delete(dataset)
