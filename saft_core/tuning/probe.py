"""Pictures of everyday things that nobody adapts to: what an adapter forgets shows on them, and what a stranger is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.data.samples import Sample
from saft_core.delta import SparseDelta
from saft_core.errors import Unavailable
from saft_core.tuning.evaluation import EncodedImages, text_embeddings

PICTURES = Path(__file__).with_name("probe_pictures")
"""The probe set that is shipped; its SOURCES.md says what it holds and whose it is."""
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Probe:
    """Concepts, and samples whose label is the place of theirs."""

    concepts: tuple[str, ...]
    samples: tuple[Sample, ...]

    @property
    def targets(self) -> Tensor:
        """Places of the samples' concepts, int64 (N,)."""
        return torch.tensor([sample.label for sample in self.samples])


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


@dataclass(frozen=True, eq=False)
class Recognition:
    """How a model sees the probe set. images, texts: unit embeddings (N, embed_dim), (concepts, embed_dim)."""

    images: Tensor
    texts: Tensor

    def right(self, targets: Tensor) -> Tensor:
        """Of each picture, bool (N,), whether its concept is the nearest."""
        return (self.images @ self.texts.T).argmax(dim=1) == targets


def recognise(
    base: Base, probe: Probe, images: EncodedImages, template: str, delta: SparseDelta | None = None
) -> Recognition:
    """The probe set, of which `images` are, as the model as it stands now sees it: with `delta`, or the base."""
    return Recognition(images.embeddings(delta), text_embeddings(base, probe.concepts, template))


def retention(targets: Tensor, before: Recognition, after: Recognition) -> dict[str, Any]:
    """What of the base is left, as metrics; null where the base recognises nothing.

    `kept`: of the pictures that the base recognises, the share that the adapter still does.
    """
    base_right, right = before.right(targets), after.right(targets)
    recognised = int(base_right.sum())
    return {
        "kept": int((base_right & right).sum()) / recognised if recognised else None,
        "probe": {
            "images": len(targets),
            "concepts": len(before.texts),
            "zero_shot_accuracy": float(base_right.float().mean()),
            "accuracy": float(right.float().mean()),
            "image_cosine": float((before.images * after.images).sum(dim=1).mean()),
            "text_cosine": float((before.texts * after.texts).sum(dim=1).mean()),
        },
    }


def strangers(base: Base, probe: Probe, labels: Sequence[str], template: str) -> Tensor:
    """Which samples of the probe set show none of the labels, bool (N,), as far as words tell; for the base as it is.

    A concept that is closer to a label than nineteen in twenty concepts are to each other is left out: a violin may
    well be an instrument.
    """
    concepts, named = text_embeddings(base, probe.concepts, template), text_embeddings(base, labels, template)
    among = (concepts @ concepts.T)[~torch.eye(len(concepts), dtype=torch.bool)]
    far = (concepts @ named.T).max(dim=1).values < among.quantile(0.95)
    return far[probe.targets]
