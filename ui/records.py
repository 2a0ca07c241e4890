"""What the API answers, as frozen records: only the members that the page shows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

FINAL = frozenset({"succeeded", "failed", "cancelled"})


class Record:
    """A record that can be read from a JSON object; unknown members are left aside."""

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Take the members this record has. Raises KeyError where one is missing."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class NewTenant(Record):
    """A tenant just made; its key is shown this once."""

    id: str
    name: str
    api_key: str


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
    """A labelled image set."""

    id: str
    name: str
    classes: tuple[ClassCount, ...]
    image_count: int
    rejected: tuple[Rejected, ...]

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """See `Record.read`."""
        return cls(
            data["id"],
            data["name"],
            tuple(map(ClassCount.read, data["classes"])),
            data["image_count"],
            tuple(map(Rejected.read, data["rejected"])),
        )


@dataclass(frozen=True)
class DatasetImage(Record):
    """One image of a dataset, without its bytes."""

    position: int
    label: str
    path: str


@dataclass(frozen=True)
class Job(Record):
    """One fine-tune as it stands."""

    id: str
    name: str
    dataset_id: str | None
    status: str
    phase: str
    progress: float
    step: int
    steps: int
    loss: float | None
    losses: tuple[tuple[int, float], ...]
    eta_seconds: float | None
    metrics: dict[str, Any] | None
    adapter_id: str | None
    error: dict[str, Any] | None
    cancel_requested: bool

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """See `Record.read`. A list leaves the curve out."""
        data = {"losses": (), **data}
        return cls(**{field.name: data[field.name] for field in fields(cls)})

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
    """One version of the result of fine-tunes."""

    id: str
    name: str
    version: int
    published: bool
    job_id: str | None
    classes: tuple[str, ...]
    template: str | list[str]
    density: float
    nnz: int
    delta_bytes: int
    strength: float
    base: str
    metrics: dict[str, Any]
    blocks: tuple[BlockCount, ...]

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """See `Record.read`. A list leaves the blocks out."""
        data = data | {"blocks": tuple(map(BlockCount.read, data.get("blocks", ())))}
        return cls(**{field.name: data[field.name] for field in fields(cls)})

    @property
    def called(self) -> str:
        """What it is called by: its name, or while another version answers that, name@version."""
        return self.name if self.published else f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Collection(Record):
    """Images that can be searched."""

    id: str
    name: str
    image_count: int


@dataclass(frozen=True)
class AddedImages:
    """What became of the files given to a collection."""

    added: int
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True)
class Answer:
    """What a model says of one image: each label's probability, best first, and that it is none of them.

    unknown: None where the service cannot tell. strange: whether it is higher than for nearly all images that show one.
    """

    probabilities: dict[str, float]
    unknown: float | None
    strange: bool

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """From the answer of `/classify` to one image."""
        (result,), threshold = data["results"], data["unknown_threshold"]
        unknown = result["unknown"]
        strange = unknown is not None and threshold is not None and unknown > threshold
        return cls({entry["label"]: entry["probability"] for entry in result["predictions"]}, unknown, strange)

    @property
    def best(self) -> str:
        """The most probable label."""
        return next(iter(self.probabilities))


@dataclass(frozen=True)
class Match(Record):
    """One picture that a search found."""

    image_id: str
    filename: str
    score: float


@dataclass(frozen=True)
class Order:
    """A fine-tune to start. `config` holds only what the user set; the rest is the base model's default."""

    name: str
    dataset_id: str
    test_dataset_id: str | None
    config: dict[str, Any]
