"""Pictures of everyday things that nobody adapts to: what an adapter forgets shows on them, and what a stranger is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from saft_core.data.samples import Sample
from saft_core.errors import Unavailable

PICTURES = Path(__file__).with_name("probe_pictures")
"""The probe set that is shipped; its SOURCES.md says what it holds and whose it is."""
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Probe:
    """Concepts, and samples whose label is the place of theirs."""

    concepts: tuple[str, ...]
    samples: tuple[Sample, ...]

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """Places of the samples' concepts, (N,)."""
        return np.array([sample.label for sample in self.samples], dtype=np.int64)


def load_probe(folder: Path = PICTURES) -> Probe:
    """The probe set in a folder that has one folder a concept. Raises Unavailable if there are fewer than two."""
    files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in ENDINGS)
    concepts = tuple(sorted({path.parent.name for path in files}))
    if len(concepts) < 2:
        raise Unavailable(
            f"the probe set {folder} must hold two folders of pictures or more, each named by what it shows"
        )
    samples = tuple(
        Sample(concepts.index(path.parent.name), f"{path.parent.name}/{path.name}", path.read_bytes) for path in files
    )
    return Probe(concepts, samples)
