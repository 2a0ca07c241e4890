"""The state of a training that another worker can go on from: a safetensors container of a few vectors of d numbers.

Indices, values, AdamW's two moments and the step are all of it: the order of the samples follows from the seed and the
step. Going on gives the numbers of a training that was never interrupted, bit for bit on the same kind of machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.data.samples import Sample
from saft_core.tuning.config import TrainingConfig

FORMAT = "saft-training-3"
_CARRIED = "carried."


class Checkpoints(Protocol):
    """Where one training keeps its state. `due` says whether it is time for another."""

    def load(self) -> bytes | None:
        """The latest state saved; None if there is none."""

    def due(self) -> bool:
        """Whether the latest is old enough to be replaced."""

    def save(self, state: bytes) -> None:
        """Replace the latest, wholly or not at all."""


@dataclass(frozen=True, eq=False)
class TrainingState:
    """After `step` steps. indices: int64 (d,). The others: (d,), in the base's dtype.

    best: the values of lowest validation loss, as of now; (d,), or empty without early stopping.
    validation: float64 (2,), that loss and the epochs since.
    carried: what was found out before this training and is needed after it, by name.
    """

    step: int
    indices: Tensor
    values: Tensor
    first_moment: Tensor
    second_moment: Tensor
    best: Tensor
    validation: Tensor
    carried: Mapping[str, Tensor]

    def encode(self, key: str) -> bytes:
        """The container; `key` says which training it belongs to."""
        vectors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        vectors |= {_CARRIED + name: value for name, value in self.carried.items()}
        tensors = {name: value.detach().cpu().contiguous() for name, value in vectors.items()}
        tensors["step"] = torch.tensor(self.step)
        return safetensors.torch.save(tensors, {"format": FORMAT, "key": key})

    @classmethod
    def decode(cls, container: bytes, key: str) -> TrainingState | None:
        """The state in `container`; None if it is damaged or belongs to another training."""
        try:
            tensors = safetensors.torch.load(container)
            if _metadata(container) != {"format": FORMAT, "key": key}:
                return None
            carried = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_CARRIED)}
            named = {name.removeprefix(_CARRIED): value for name, value in carried.items()}
            return cls(step=int(tensors.pop("step")), carried=named, **tensors)
        except (SafetensorError, ValueError, KeyError, TypeError):
            return None


def training_key(base: Base, labels: Sequence[str], samples: Sequence[Sample], config: TrainingConfig) -> str:
    """SHA-256 over all that decides the numbers of a training: base, labels, samples by name, and settings."""
    named = [base.fingerprint, list(labels), [(sample.label, sample.path) for sample in samples], asdict(config)]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def _metadata(container: bytes) -> dict[str, str]:
    """The header's free part: eight bytes of length, little-endian, then JSON (safetensors' documented format)."""
    length = int.from_bytes(container[:8], "little")
    header: dict[str, dict[str, str]] = json.loads(container[8 : 8 + length])
    return header.get("__metadata__", {})
