"""The answers of the service as frozen dataclasses with their JSON in `raw`; those of tenants: tenant_records.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from saft_client._reading import Record

FINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class ClassCount(Record):
    """How many images a class has."""

    name: str
    count: int


@dataclass(frozen=True)
class Rejected(Record):
    """A file that was left out, and why."""

    path: str
    code: str
    reason: str


@dataclass(frozen=True)
class Dataset(Record):
    """A labelled image set.

    revision_of: the dataset that it was made of. test_dataset_id: what an upload's test folders became, told once.
    """

    id: str
    name: str
    classes: tuple[ClassCount, ...]
    image_count: int
    rejected: tuple[Rejected, ...]
    created_at: datetime
    test_dataset_id: str | None = None
    revision_of: str | None = None


@dataclass(frozen=True)
class Example(Record):
    """The sample photographs of a tenant. adapter_id: None while the job trains it."""

    dataset_id: str
    test_dataset_id: str
    adapter_id: str | None = None
    job_id: str | None = None


@dataclass(frozen=True)
class DatasetImage(Record):
    """One image of a dataset, without its bytes."""

    position: int
    label: str
    path: str


@dataclass(frozen=True)
class Job(Record):
    """One fine-tune as it stands.

    status: queued, running, succeeded, failed or cancelled. progress: 0 to 1, the share of its time that is over.
    losses: (step, loss) pairs of the curve, 200 at most; a list of jobs leaves them out.
    elapsed_seconds, eta_seconds: how long workers have been at it, and what is left.
    metrics: of the base alone (`zero_shot_accuracy`, `base_fit`, ...) until it has succeeded.
    queue_position: 1 is next; None unless it is queued, and in lists.
    """

    id: str
    name: str
    status: str
    phase: str
    progress: float
    step: int
    steps: int
    cancel_requested: bool
    created_at: datetime
    dataset_id: str | None = None
    test_dataset_id: str | None = None
    loss: float | None = None
    eta_seconds: float | None = None
    metrics: Mapping[str, Any] | None = None
    adapter_id: str | None = None
    error: Mapping[str, Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    publish: str = "auto"
    attempt: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    losses: tuple[tuple[int, float], ...] = ()
    elapsed_seconds: float | None = None
    queue_position: int | None = None

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.status in FINAL


@dataclass(frozen=True)
class BlockCount(Record):
    """How many parameters of a block there are, and how many were chosen to change."""

    block: str
    parameters: int
    selected: int


@dataclass(frozen=True)
class Adapter(Record):
    """One version of the result of fine-tunes. published: whether it answers its name; a list leaves `blocks` out."""

    id: str
    name: str
    version: int
    published: bool
    classes: tuple[str, ...]
    template: str | tuple[str, ...]
    density: float
    nnz: int
    delta_bytes: int
    strength: float
    base: str
    base_fingerprint: str
    created_at: datetime
    job_id: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    blocks: tuple[BlockCount, ...] = ()

    @property
    def called(self) -> str:
        """What it is called by: its name, or while another version answers that, name@version."""
        return self.name if self.published else f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Comparison(Record):
    """Two versions on the same images; `with_` says it of the other one. verdict: better, no_better or worse."""

    adapter: str
    with_adapter: str
    images: int
    left_out_images: int
    right: int
    with_right: int
    agreement: float | None
    accuracy: float | None
    with_accuracy: float | None
    verdict: str | None


@dataclass(frozen=True)
class Mistake(Record):
    """An image that an adapter gets wrong. split: test, held-out or training."""

    dataset_id: str
    position: int
    path: str
    label: str
    prediction: str
    split: str


@dataclass(frozen=True)
class Prediction(Record):
    """A label and how probable it is."""

    label: str
    probability: float


@dataclass(frozen=True)
class ImageError(Record):
    """Why an image has no predictions."""

    code: str
    detail: str


@dataclass(frozen=True)
class Result(Record):
    """What a model says of one image.

    name: of the file. predictions: most probable first; none where there is an `error`. score: cosine of the image and
    the first label. unknown: probability that the image shows none of the labels, None where it cannot be told.
    """

    name: str
    predictions: tuple[Prediction, ...]
    score: float | None = None
    unknown: float | None = None
    unknown_threshold: float | None = None
    error: ImageError | None = None

    @property
    def label(self) -> str | None:
        """The most probable label."""
        return self.predictions[0].label if self.predictions else None

    @property
    def probability(self) -> float | None:
        """Of that label."""
        return self.predictions[0].probability if self.predictions else None

    @property
    def strange(self) -> bool:
        """Whether `unknown` is higher than for nearly all images that show one of the labels."""
        return self.unknown is not None and self.unknown_threshold is not None and self.unknown > self.unknown_threshold


@dataclass(frozen=True)
class Collection(Record):
    """Images that can be searched."""

    id: str
    name: str
    image_count: int
    created_at: datetime


@dataclass(frozen=True)
class CollectionImage(Record):
    """One image of a collection, without its bytes."""

    id: str
    filename: str
    created_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AddedImages(Record):
    """What became of the files that were given to a collection."""

    images: tuple[CollectionImage, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True)
class Match(Record):
    """One image that a search found. score: cosine of image and query."""

    image_id: str
    filename: str
    score: float
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Base(Record):
    """The model that every adapter changes. suits: what it is good for and what not, if its maker said so."""

    name: str
    fingerprint: str
    parameters: int
    image_size: int
    embedded: bool
    suits: str | None = None
    training_defaults: Mapping[str, Any] = field(default_factory=dict)
