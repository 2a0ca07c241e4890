"""Datasets: immutable labelled image sets."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, or_, select

from saft_core.errors import Conflict, InvalidDataset, NotFound
from saft_core.store.images import size_bytes
from saft_core.store.jobs import UNFINISHED
from saft_core.store.models import Dataset, DatasetImage, Job
from saft_core.store.scope import Scope


def add(scope: Scope, dataset: Dataset, images: Sequence[DatasetImage]) -> Dataset:
    """Write a dataset and its images, whose files the tenant has already (images.py)."""
    dataset.size_bytes = size_bytes(scope, [image.sha256 for image in images])
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
    """Up to `limit` images with a position above `after`, by position; all if it is None."""
    of_dataset = (DatasetImage.dataset_id == dataset_id, DatasetImage.position > after)
    query = scope.select(DatasetImage, *of_dataset).order_by(DatasetImage.position).limit(limit)
    return scope.session.scalars(query).all()


def image(scope: Scope, dataset_id: str, position: int) -> DatasetImage:
    """One image by its position. Raises NotFound."""
    of_dataset = (DatasetImage.dataset_id == dataset_id, DatasetImage.position == position)
    found = scope.session.scalar(scope.select(DatasetImage, *of_dataset))
    if found is None:
        raise NotFound(f"dataset {dataset_id} has no image {position}")
    return found


def count_unshared(scope: Scope, dataset_id: str, others_id: str) -> int:
    """The number of images of a dataset whose SHA-256 the other dataset does not have."""
    others = scope.select(DatasetImage, DatasetImage.dataset_id == others_id).subquery()
    shared = select(others.c.sha256).where(others.c.sha256 == DatasetImage.sha256)
    query = select(func.count()).select_from(DatasetImage)
    own = (scope.owns(DatasetImage), DatasetImage.dataset_id == dataset_id)
    return scope.session.scalar(query.where(*own, ~shared.exists())) or 0


def check_unshared(images: int, unshared: int, classes: int) -> None:
    """Check that a test dataset has enough images that are not in the training dataset.

    Raises InvalidDataset when images are shared and the `unshared` ones are fewer than the classes.
    """
    if unshared < images and unshared < classes:
        raise InvalidDataset(
            f"test_dataset_id: {images - unshared} of its {images} images are in the training dataset too and are left"
            f" out, and {unshared} images are too few for {classes} classes; take other images, or leave it out and a"
            " fifth of the training dataset is held out",
            shared_images=images - unshared,
        )


def delete(scope: Scope, dataset_id: str) -> Sequence[str]:
    """Delete a dataset; returns the SHA-256 of its images, to be released after the commit.

    Raises NotFound, and Conflict while a job still needs it.
    """
    dataset = scope.get(Dataset, dataset_id, lock=True)
    uses = or_(Job.dataset_id == dataset_id, Job.test_dataset_id == dataset_id)
    job = scope.session.scalar(scope.select(Job, uses, Job.status.in_(UNFINISHED)).limit(1))
    if job is not None:
        raise Conflict(f"job {job.id} is using this dataset; wait for its end or cancel it")
    hashes = select(DatasetImage.sha256).where(scope.owns(DatasetImage), DatasetImage.dataset_id == dataset_id)
    found = scope.session.scalars(hashes).all()
    scope.delete(dataset)
    return found
