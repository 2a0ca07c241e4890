from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.errors import Busy
from saft_core.serving.adapters import BASE, ModelKey
from saft_core.serving.batcher import BatchLimits
from saft_core.serving.classifiers import Classifiers
from saft_core.sparse.batch_delta import Row

TEMPLATE = "a photo of a {}."
LABELS = tuple(f"label {number}" for number in range(200))


class Texts:
    """Embeds texts as the base does, but refuses the calls that it is told to."""

    def __init__(self, base: Base, refusals: Sequence[bool]) -> None:
        self.base, self.refusals, self.taken = base, iter(refusals), 0

    def embed(self, _: ModelKey, __: Row, texts: Sequence[str], ___: float) -> Tensor:
        if next(self.refusals):
            raise Busy
        self.taken += len(texts)
        with torch.inference_mode():
            return self.base.encode_texts(list(texts))


def test_a_call_whose_first_texts_were_taken_waits_and_loses_nothing(tiny_vit: Base) -> None:
    texts = Texts(tiny_vit, [False, True, True, False])
    found = Classifiers(tiny_vit, BatchLimits(), texts.embed, 60.0).get(BASE, Row(None), LABELS, TEMPLATE, 1e9)
    plain = Texts(tiny_vit, [False] * 2)
    wanted = Classifiers(tiny_vit, BatchLimits(), plain.embed, 60.0).get(BASE, Row(None), LABELS, TEMPLATE, 1e9)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    assert (texts.taken, next(texts.refusals, None)) == (len(LABELS), None)


def test_a_call_whose_first_texts_were_refused_is_refused(tiny_vit: Base) -> None:
    classifiers = Classifiers(tiny_vit, BatchLimits(), Texts(tiny_vit, [True]).embed, 60.0)
    with pytest.raises(Busy):
        classifiers.get(BASE, Row(None), LABELS[:2], TEMPLATE, 1e9)


def test_a_classifier_is_made_once_for_each_model_and_each_set_of_labels(tiny_vit: Base) -> None:
    texts = Texts(tiny_vit, [False] * 3)
    classifiers = Classifiers(tiny_vit, BatchLimits(), texts.embed, 60.0)
    for key, labels in ((BASE, LABELS[:2]), (BASE, LABELS[:2]), (("1", 1.0), LABELS[:2]), (BASE, LABELS[:3])):
        assert classifiers.get(key, Row(None), labels, TEMPLATE, 1e9).shape == (len(labels), tiny_vit.embed_dim)
    assert texts.taken == 2 + 2 + 3
