"""What one fit was and what came of it, as a line of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from saft_core.data.augment import Augment

Classes = Literal["all", "base"]
Purpose = Literal["test", "choice"]


@dataclass(frozen=True)
class Run:
    """One fit: everything that decides its outcome.

    base: name and fingerprint of the model. dataset: where the shots are from. classes: all of its classes, or the
    first half of them (base-to-new). purpose: to be tested, or to choose a learning rate on held shots. The rest is
    FitConfig's.
    """

    base: str
    dataset: str
    classes: Classes
    shots: int
    method: str
    learning_rate: float
    epochs: int
    batch_size: int
    weight_decay: float
    density: float
    augment: Augment
    seed: int
    purpose: Purpose = "test"


@dataclass(frozen=True)
class Outcome:
    """Of one run.

    right: by the name of a test set, "1" for each image whose most probable class is the true one and "0" for each
    other, in the order of the test set.
    unnamed: test sets whose labels the method cannot name.
    trainable: numbers that were trained. peak_bytes: the most memory that the process, or the GPU, held meanwhile.
    split_sha256: of the images that were drawn (`Shots.sha256`).
    blocks: of a delta, for each block of the model its parameters and how many of them it changes.
    unsuited: why this base cannot run the method; nothing else is said then.
    """

    run: Run
    right: Mapping[str, str] = field(default_factory=dict)
    unnamed: Sequence[str] = ()
    trainable: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    split_sha256: str = ""
    blocks: Sequence[Mapping[str, Any]] = ()
    unsuited: str | None = None

    def as_json(self) -> dict[str, Any]:
        """To be kept in a file of JSON lines."""
        return asdict(self)

    @classmethod
    def of_json(cls, kept: dict[str, Any]) -> Self:
        """What `as_json` said."""
        return cls(**kept | {"run": Run(**kept["run"])})
