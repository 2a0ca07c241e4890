"""The probe set: pictures of everyday things in no tenant's classes.

An adapter's accuracy on them shows what it forgot, and its scores on them what an image of none of its classes gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from saft_core.data.samples import Sample
from saft_core.errors import Unavailable

PICTURES = Path(__file__).with_name("probe_pictures")
"""The probe set that is shipped; its SOURCES.md lists the pictures and their licences."""
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Probe:
    """Concepts, such as "a bridge", and samples whose label is the index of their concept."""

    concepts: tuple[str, ...]
    samples: tuple[Sample, ...]

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """The index of each sample's concept, int64 (N,)."""
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
