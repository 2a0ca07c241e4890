"""What a job trains on and is measured on, from its datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from saft_core.clip.class_names import same_class
from saft_core.data.samples import Sample
from saft_core.data.twins import without_twins
from saft_core.errors import NotFound, TrainingFailed
from saft_core.store import datasets
from saft_core.store.blobs import BlobStore
from saft_core.store.models import Dataset, DatasetImage, Job
from saft_core.store.scope import Scope
from saft_core.tuning.training_sets import TrainingSets
from worker.persistence import persistently

if TYPE_CHECKING:
    from worker.runtime import Runtime


def load_task(runtime: Runtime, job: Job, between_tries: Callable[[], None] = lambda: None) -> TrainingSets:
    """The samples of the job's datasets.

    Images of the test dataset that are in the training dataset too, saved anew or not, are left out: they would
    measure memory. Classes of it that are not trained measure what becomes of the rest of the base.

    between_tries: called while the database is away; what it raises ends the loading.

    Raises NotFound, and InvalidDataset when too few test images are left.
    """

    def load(dataset_id: str | None) -> _Labelled:
        return _labelled(runtime, job, dataset_id, between_tries)

    train = load(job.dataset_id)
    samples = train.samples({label: place for place, label in enumerate(train.labels)})
    if job.test_dataset_id is None:
        return TrainingSets(train.labels, samples)
    test = load(job.test_dataset_id)
    means = same_class(test.labels, train.labels)
    labels = (*train.labels, *(label for label in test.labels if means[label] not in train.labels))
    places = {label: place for place, label in enumerate(labels)}
    unseen = _unseen(runtime, samples, test.samples({label: places[means[label]] for label in test.labels}))
    new_labels, new_test = _of_new_classes(labels, len(train.labels), unseen)
    tested = {labels[sample.label] for sample in unseen if sample.label < len(train.labels)} | set(new_labels)
    return TrainingSets(
        train.labels,
        samples,
        [sample for sample in unseen if sample.label < len(train.labels)],
        shared_images=len(test.images) - len(unseen),
        new_labels=new_labels,
        new_test=new_test,
        untested_labels=tuple(label for label in test.labels if means[label] not in tested),
    )


def _of_new_classes(
    labels: Sequence[str], trained: int, samples: Sequence[Sample]
) -> tuple[tuple[str, ...], list[Sample]]:
    """The classes behind the first `trained` ones that have samples, and these; none of one alone, always right."""
    there = sorted({sample.label for sample in samples if sample.label >= trained})
    if len(there) < 2:
        return (), []
    of_new = [replace(one, label=there.index(one.label)) for one in samples if one.label >= trained]
    return tuple(labels[place] for place in there), of_new


def _unseen(runtime: Runtime, train: Sequence[Sample], test: Sequence[Sample]) -> list[Sample]:
    """The test samples that show no picture of the training samples. Raises InvalidDataset and InvalidImage."""
    unseen = without_twins(test, train, runtime.data_limits)
    datasets.check_unshared(len(test), len(unseen), len({sample.label for sample in test}))
    return unseen


@dataclass(frozen=True)
class _Labelled:
    """The rows of a dataset, and how to read its files."""

    labels: tuple[str, ...]
    images: Sequence[DatasetImage]
    blobs: BlobStore

    def samples(self, places: Mapping[str, int]) -> list[Sample]:
        """Its images, each labelled with the place of its class."""
        return [
            Sample(places[image.label], image.path, _reader(self.blobs, image), image.sha256, image.position)
            for image in self.images
        ]


def _labelled(runtime: Runtime, job: Job, dataset_id: str | None, between_tries: Callable[[], None]) -> _Labelled:
    if dataset_id is None:
        raise NotFound("the dataset of this job was deleted")

    def load(session: Session) -> tuple[Dataset, Sequence[DatasetImage]]:
        return datasets.load(Scope(session, job.tenant_id), dataset_id)

    dataset, images = persistently(runtime.sessions, load, between_tries)
    return _Labelled(tuple(entry["name"] for entry in dataset.classes), images, runtime.blobs)


def _reader(blobs: BlobStore, image: DatasetImage) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return blobs.get(image.file)
        except NotFound as error:
            raise TrainingFailed(
                f"the file of {image.path} in dataset {image.dataset_id} is gone; upload the dataset again"
            ) from error

    return read
