"""How much of what the base recognises an adapter retains, measured on the probe set (`data/probe.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saft_core.calibration import CONCEPTS_APART, FloatArray, Words
from saft_core.clip.backbone import Base
from saft_core.data.probe_set import Probe
from saft_core.delta import SparseDelta
from saft_core.templates import Template
from saft_core.tuning.predictions import EncodedImages, text_embeddings


@dataclass(frozen=True, eq=False)
class ProbeEmbeddings:
    """The probe set by a model. images, texts: unit embeddings (N, embed_dim), (concepts, embed_dim)."""

    images: Tensor
    texts: Tensor

    def right(self, targets: Tensor) -> Tensor:
        """Whether the concept nearest to each image is its own, bool (N,). targets: concept positions, int64 (N,)."""
        return (self.images @ self.texts.T).argmax(dim=1) == targets


def encode_probe(
    base: Base, probe: Probe, images: EncodedImages, template: Template, delta: SparseDelta | None = None
) -> ProbeEmbeddings:
    """Encode the probe set, whose images are `images`, by the base, or by the base as merged with `delta`."""
    return ProbeEmbeddings(images.embeddings(delta), text_embeddings(base, probe.concepts, template))


def retention_metrics(targets: Tensor, before: ProbeEmbeddings, after: ProbeEmbeddings) -> dict[str, Any]:
    """What an adapter retains of the base, as metrics.

    `kept`: of the images that the base recognises, the share that the adapter recognises too; None if the base
    recognises none.
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


def unknown_samples(base: Base, probe: Probe, named: FloatArray, template: Template) -> Tensor:
    """Which samples of the probe set show none of the labels, bool (N,), by the text embeddings of their concepts.

    named: unit embeddings of the labels by the base, float32 (labels, embed_dim).
    """
    concepts = Words.of(text_embeddings(base, probe.concepts, template).numpy(), CONCEPTS_APART)
    return torch.from_numpy(concepts.none_of(named))[probe.targets]
