"""How a model sees the probe set (data/probe.py), and what an adapter forgot of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saft_core.calibration import CONCEPTS_APART, FloatArray, Words
from saft_core.clip.backbone import Base
from saft_core.data.probe import Probe
from saft_core.delta import SparseDelta
from saft_core.templates import Template
from saft_core.tuning.evaluation import EncodedImages, text_embeddings


@dataclass(frozen=True, eq=False)
class Recognition:
    """How a model sees the probe set. images, texts: unit embeddings (N, embed_dim), (concepts, embed_dim)."""

    images: Tensor
    texts: Tensor

    def right(self, targets: Tensor) -> Tensor:
        """Of each picture, bool (N,), whether its concept is the nearest."""
        return (self.images @ self.texts.T).argmax(dim=1) == targets


def recognise(
    base: Base, probe: Probe, images: EncodedImages, template: Template, delta: SparseDelta | None = None
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


def strangers(base: Base, probe: Probe, named: FloatArray, template: Template) -> Tensor:
    """Which samples of the probe set show none of the labels, bool (N,), as far as words tell the base as it is.

    named: unit embeddings of the labels by the base, float32 (labels, embed_dim).
    """
    concepts = Words.of(text_embeddings(base, probe.concepts, template).numpy(), CONCEPTS_APART)
    return torch.from_numpy(concepts.none_of(named))[probe.targets]
