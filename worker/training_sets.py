"""The samples that a job trains on and is measured on, loaded from its datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from saft_core.clip.class_names import same_class
from saft_core.data.near_duplicates import without_near_duplicates
from saft_core.data.samples import Sample
from saft_core.errors import NotFound, TrainingFailed
from saft_core.store import datasets
from saft_core.store.blobs import BlobStore
from saft_core.store.models import Dataset, DatasetImage, Job
from saft_core.store.scope import Scope
from saft_core.tuning.training_sets import TrainingSets
from worker.database_retries import with_retries
from worker.runtime import Runtime


def load_training_sets(runtime: Runtime, job: Job, before_retry: Callable[[], None] = lambda: None) -> TrainingSets:
    """The training and test samples of the job's datasets.

    Test images that are in the training dataset too, as the same bytes or re-encoded, are left out: they would measure
    memory. Test classes that are not trained become `new_labels`, which measure what the base has forgotten.

    before_retry: called before each retry while the database is away; an exception that it raises ends the loading.

    Raises NotFound, and InvalidDataset when too few test images are left.
    """

    def load(dataset_id: str | None) -> _Labelled:
        return _labelled(runtime, job, dataset_id, before_retry)

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
    """Those of `labels` behind the first `trained` ones that have samples, with these samples; none if it is one alone.

    With one class alone every prediction is right.
    """
    there = sorted({sample.label for sample in samples if sample.label >= trained})
    if len(there) < 2:
        return (), []
    of_new = [replace(one, label=there.index(one.label)) for one in samples if one.label >= trained]
    return tuple(labels[place] for place in there), of_new


def _unseen(runtime: Runtime, train: Sequence[Sample], test: Sequence[Sample]) -> list[Sample]:
    """The test samples that are no duplicates of training samples. Raises InvalidDataset and InvalidImage."""
    unseen = without_near_duplicates(test, train, runtime.data_limits)
    datasets.check_unshared(len(test), len(unseen), len({sample.label for sample in test}))
    return unseen


@dataclass(frozen=True)
class _Labelled:
    """The rows of a dataset, and the store of its files."""

    labels: tuple[str, ...]
    images: Sequence[DatasetImage]
    blobs: BlobStore

    def samples(self, places: Mapping[str, int]) -> list[Sample]:
        """The images as samples; `places` gives the class index of each label."""
        return [
            Sample(places[image.label], image.path, _reader(self.blobs, image), image.sha256, image.position)
            for image in self.images
        ]


def _labelled(runtime: Runtime, job: Job, dataset_id: str | None, before_retry: Callable[[], None]) -> _Labelled:
    if dataset_id is None:
        raise NotFound("the dataset of this job was deleted")

    def load(session: Session) -> tuple[Dataset, Sequence[DatasetImage]]:
        return datasets.load(Scope(session, job.tenant_id), dataset_id)

    dataset, images = with_retries(runtime.sessions, load, before_retry)
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
