"""Images are the same for every method: whole ones, random parts of a draw, and embeddings of the base."""

import pytest
import torch

from evaluation.loading import IMAGES_PER_PASS, Images
from tests.fixtures.models import make_base
from tests.fixtures.toy_data import find


def test_frozen_embeddings_are_those_of_the_base_that_was_there() -> None:
    base = make_base("vit")
    images = Images(base, find("squares").train)
    with pytest.raises(RuntimeError):
        _ = images.frozen
    before = images.encode()
    images.freeze()
    with torch.no_grad():
        base.flat.buffer.add_(0.1)
    images.freeze()  # is done already
    assert torch.equal(images.frozen, before)
    assert torch.equal(images.batch([3, 1]).frozen, before[[3, 1]])
    assert not torch.allclose(images.encode(), before)


def test_parts_are_the_same_for_the_same_draw_and_others_for_another() -> None:
    images = Images(make_base("vit"), find("squares").train)
    first, again, other = (images.views([0, 5], "crop_flip", draw) for draw in ((1, 0), (1, 0), (1, 1)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(images.views([0, 5], "none", (1, 0)), images.batch([0, 5]).pixels)


def test_chunks_are_all_positions_once() -> None:
    images = Images(make_base("vit"), [*find("squares").train] * 5)
    assert [at for chunk in images.chunks for at in chunk] == list(range(100))
    assert max(map(len, images.chunks)) == IMAGES_PER_PASS
    assert Images(make_base("vit"), []).encode().shape == (0, 16)
