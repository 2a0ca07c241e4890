"""What a job trains on and is measured on, from its datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from saft_core.data.limits import DataLimits
from saft_core.data.samples import Sample
from saft_core.data.twins import without_twins
from saft_core.errors import NotFound, TrainingFailed
from saft_core.store import datasets
from saft_core.store.blobs import BlobStore
from saft_core.store.models import Dataset, DatasetImage, Job
from saft_core.store.scope import Scope
from saft_core.tuning.adapt import Task
from worker.persistence import persistently

if TYPE_CHECKING:
    from worker.runtime import Runtime


def load_task(runtime: Runtime, job: Job, between_tries: Callable[[], None] = lambda: None) -> Task:
    """The samples of the job's datasets.

    Images of the test dataset that are in the training dataset too, saved anew or not, are left out: they would
    measure memory.

    between_tries: called while the database is away; what it raises ends the loading.

    Raises NotFound, and InvalidDataset when too few test images are left.
    """

    def samples(dataset_id: str | None, labels: tuple[str, ...] | None) -> tuple[tuple[str, ...], list[Sample]]:
        return _samples(runtime, job, dataset_id, labels, between_tries)

    labels, train = samples(job.dataset_id, None)
    if job.test_dataset_id is not None:
        _, test = samples(job.test_dataset_id, labels)
        unseen = _unseen(runtime, train, test)
        return Task(labels, train, unseen, shared_images=len(test) - len(unseen))
    return Task(labels, train)


def _unseen(runtime: Runtime, train: Sequence[Sample], test: Sequence[Sample]) -> list[Sample]:
    """The test samples that show no picture of the training samples. Raises InvalidDataset and InvalidImage."""
    unseen = without_twins(test, train, DataLimits.from_attributes(runtime.settings.limits))
    datasets.check_unshared(len(test), len(unseen), len({sample.label for sample in test}))
    return unseen


def _samples(
    runtime: Runtime,
    job: Job,
    dataset_id: str | None,
    labels: tuple[str, ...] | None,
    between_tries: Callable[[], None],
) -> tuple[tuple[str, ...], list[Sample]]:
    """A dataset's labels (or the given ones, in their order) and its samples, with bytes read when asked for."""
    if dataset_id is None:
        raise NotFound("the dataset of this job was deleted")

    def load(session: Session) -> tuple[Dataset, Sequence[DatasetImage]]:
        return datasets.load(Scope(session, job.tenant_id), dataset_id)

    dataset, images = persistently(runtime.sessions, load, between_tries)
    labels = labels or tuple(entry["name"] for entry in dataset.classes)
    index = {label: position for position, label in enumerate(labels)}
    return labels, [
        Sample(index[image.label], image.path, _reader(runtime.blobs, image), image.sha256) for image in images
    ]


def _reader(blobs: BlobStore, image: DatasetImage) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return blobs.get(image.dataset_id, image.sha256)
        except NotFound as error:
            raise TrainingFailed(
                f"the file of {image.path} in dataset {image.dataset_id} is gone; upload the dataset again"
            ) from error

    return read
