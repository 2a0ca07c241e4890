from __future__ import annotations

import numpy as np
import pytest
import torch

from saft_core.clip.backbone import Base
from saft_core.delta import SparseDelta
from saft_core.tuning.predictions import EncodedImages, Predictions, evaluate, merged, prompts_ahead, words_for
from tests.fixtures.models import make_base
from tests.fixtures.tasks import LABELS, colour_samples, loader, silent_meter

pytestmark = pytest.mark.gpu


def images(base: Base, per_class: int, batch_size: int = 4) -> EncodedImages:
    return EncodedImages(base, loader(base, colour_samples(per_class)), batch_size, silent_meter())


def test_answers_do_not_depend_on_the_batch_and_keep_the_order() -> None:
    base = make_base("vit")
    one, all_at_once = (evaluate(base, images(base, 3, size), LABELS, "{}") for size in (1, 9))
    assert one.predicted.tolist() == all_at_once.predicted.tolist()
    assert one.targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("tower", ["image", "text"])
def test_images_are_encoded_anew_only_where_a_delta_changes_how_they_are_seen(
    tower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_base("vit")
    name = "visual.conv1.weight" if tower == "image" else "token_embedding.weight"
    place = next(slot.offset for slot in base.flat.slots if slot.name == name)
    delta = SparseDelta(np.array([place]), np.array([5.0], dtype=np.float32))
    assert base.flat.changes_images(delta.indices) == (tower == "image")
    passes = 0
    encode = base.encode_pixels

    def counted(pixels: torch.Tensor) -> torch.Tensor:
        nonlocal passes
        passes += 1
        return encode(pixels)

    monkeypatch.setattr(base, "encode_pixels", counted)
    seen = images(base, 1)
    before = seen.embeddings()
    with merged(base, delta):
        after = seen.embeddings(delta)
    assert torch.equal(before, after) == (tower == "text")
    assert torch.equal(seen.embeddings(), before)
    assert passes == (2 if tower == "image" else 1)


def test_accuracy_and_confusion_count_the_answers() -> None:
    answers = Predictions(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]))
    assert answers.accuracy == 0.5
    assert answers.confusion(3).tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_a_delta_is_applied_at_its_strength_and_leaves_no_trace(strength: float) -> None:
    base = make_base("vit")
    before, bits = base.flat.buffer.clone(), base.flat.sha256()
    delta = SparseDelta(np.array([3, 70]), np.array([0.5, -1.0], dtype=np.float32))
    with merged(base, delta, strength):
        changed = base.flat.buffer - before
        assert torch.nonzero(changed).flatten().tolist() == [3, 70]
        assert changed[[3, 70]].tolist() == pytest.approx([0.5 * strength, -strength], rel=1e-5)
    assert base.flat.sha256() == bits


def test_other_words_are_encoded_once_for_a_base() -> None:
    base = make_base("vit")
    ahead = prompts_ahead(base)
    assert ahead > 0
    words = words_for(base)
    assert prompts_ahead(base) == 0
    assert words_for(base) is words
    assert prompts_ahead(make_base("vit", seed=1)) == ahead
