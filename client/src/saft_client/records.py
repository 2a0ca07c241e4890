"""What the service answers, as frozen dataclasses. Each has its JSON in `raw`."""

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

    status: queued, running, succeeded, failed or cancelled. progress: 0 to 1. losses: (step, loss) pairs of the curve;
    a list of jobs leaves them out.
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


@dataclass(frozen=True)
class Quota(Record):
    """What a tenant may have; None is no limit."""

    images: int | None = None
    storage_bytes: int | None = None
    adapters: int | None = None
    queued_jobs: int | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True)
class Usage(Record):
    """What a tenant has. requests_per_minute: of the last minute; None where they are not counted."""

    images: int
    storage_bytes: int
    adapters: int
    queued_jobs: int
    requests_per_minute: int | None = None


@dataclass(frozen=True)
class Account(Record):
    """Who a tenant is, by which key, what it has, and what it may have."""

    tenant_id: str
    name: str
    key_id: str
    usage: Usage
    quota: Quota


@dataclass(frozen=True)
class Key(Record):
    """A key of a tenant, without the key itself."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True)
class NewKey(Key):
    """A key just made; `api_key` is shown this once."""

    api_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class AuditEvent(Record):
    """Something that was done with a tenant's keys, or by the admin for it."""

    id: str
    created_at: datetime
    action: str
    subject_id: str
    key_id: str | None
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Tenant(Record):
    """A tenant as the admin sees it. A list leaves `usage` out."""

    id: str
    name: str
    quota: Quota
    created_at: datetime
    deleted_at: datetime | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class NewTenant(Record):
    """A tenant just made; the key is shown this once."""

    id: str
    name: str
    api_key: str = field(repr=False)
