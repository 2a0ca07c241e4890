"""What one fit was and what came of it, as a line of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict

from evaluation.methods.method import FitConfig

Classes = Literal["all", "base"]
Purpose = Literal["test", "choice"]


@dataclass(frozen=True, kw_only=True)
class Run(FitConfig):
    """One fit: everything that decides its outcome, the fields of `FitConfig` included.

    base: name and fingerprint of the model. dataset: where the shots are from. classes: all of its classes, or the
    first half of them (base-to-new). shots: images of each class. method: its name. purpose: to be tested, or to
    choose a learning rate on held shots.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    base: str
    dataset: str
    classes: Classes
    shots: int
    method: str
    purpose: Purpose = "test"

    def __str__(self) -> str:
        choice = f" at {self.learning_rate:g}" if self.purpose == "choice" else ""
        return f"{self.dataset}, {self.classes} classes, {self.shots} shots, seed {self.seed}: {self.method}{choice}"


@dataclass(frozen=True)
class Outcome:
    """Of one run.

    right: by the name of a test set, "1" for each image whose most probable class is the true one and "0" for each
    other, in the order of the test set.
    unnamed: test sets whose labels the method cannot name.
    trainable: numbers that were trained. peak_bytes: the most memory that the process, or the GPU, held meanwhile.
    split_sha256: of the images that were drawn (`Shots.sha256`). data_sha256: of all that it was made of and tested on
    (`study.data_sha256`).
    blocks: of a delta, for each block of the model its parameters and how many of them it changes.
    unsuited: why this base cannot run the method; nothing else is said then.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    run: Run
    right: Mapping[str, str] = field(default_factory=dict)
    unnamed: Sequence[str] = ()
    trainable: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    split_sha256: str = ""
    data_sha256: str = ""
    blocks: Sequence[Mapping[str, Any]] = ()
    unsuited: str | None = None

    def __str__(self) -> str:
        if self.unsuited:
            return f"{self.run}: {self.unsuited}"
        shares = {name: right.count("1") / max(1, len(right)) for name, right in self.right.items()}
        told = ", ".join(f"{name} {100 * share:.1f}" for name, share in shares.items())
        return f"{self.run}: {told} ({self.seconds:.0f} s)"

    def as_json(self) -> dict[str, Any]:
        """To be kept in a file of JSON lines."""
        return asdict(self)
