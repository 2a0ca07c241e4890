"""Search by words with the base and with an adapter, for the eye (the paper's Figures 3 and 7)."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from evaluation.datasets.dataset import TestSet
from evaluation.loading import Images
from evaluation.methods.method import Method
from evaluation.report.contact_sheet import Hit, Query
from evaluation.study import Study
from saft_core.clip.backbone import Base
from saft_core.clip.class_names import class_name
from saft_core.clip.zero_shot import fill
from saft_core.templates import each

MOST_QUERIES = 6
HITS = 5


def queries(study: Study, method: Method, dataset: str) -> list[Query]:
    """The prompts of the first classes, searched in the test pictures of the first shifted part, else of the data set.

    Raises MissingData, and what the fit raises.
    """
    data = study.dataset(dataset)
    test = data.shifted[0] if data.shifted else data.tested
    images = Images(study.base, test.samples)
    texts = fill(each(test.template)[0], test.labels[:MOST_QUERIES])
    before = _best(study.base, images, texts)
    with study.fit(method, dataset).active():
        after = _best(study.base, images, texts)
    return [
        Query(text, class_name(label), _hits(test, by_base), _hits(test, by_adapter))
        for text, label, by_base, by_adapter in zip(texts, test.labels, before, after, strict=False)
    ]


@torch.no_grad()
def _best(base: Base, images: Images, texts: Sequence[str]) -> list[list[int]]:
    """Positions of the closest pictures, best first, for each text, by the base as it now stands."""
    cosines: Tensor = base.encode_texts(texts) @ images.encode().T
    best: list[list[int]] = cosines.topk(min(HITS, len(images)), dim=1).indices.tolist()
    return best


def _hits(test: TestSet, positions: Sequence[int]) -> list[Hit]:
    found = [test.samples[position] for position in positions]
    return [Hit(Image.open(io.BytesIO(one.read())).convert("RGB"), class_name(test.labels[one.label])) for one in found]
