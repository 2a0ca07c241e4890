from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from saft_core.tuning.augment import random_view

SIDE = 16


def gradient() -> Image.Image:
    """Red grows to the right, green downwards."""
    across = np.linspace(0, 255, 80, dtype=np.uint8)
    red, green = np.meshgrid(across, across[:60])
    return Image.fromarray(np.stack([red, green, np.zeros_like(red)], axis=-1))


def test_a_view_follows_from_its_draw_and_nothing_else() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    views = [random_view(gradient(), SIDE, "crop_flip", draw).tobytes() for draw in ((0, 1, 2), (0, 1, 2), (0, 1, 3))]
    assert views[0] == views[1] != views[2]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_crop_is_a_part_of_the_image_and_only_a_flip_is_mirrored() -> None:
    rising = []
    for augment in ("crop", "crop_flip"):
        views = [np.asarray(random_view(gradient(), SIDE, augment, (0, draw))).astype(int) for draw in range(40)]
        assert {view.shape for view in views} == {(SIDE, SIDE, 3)}
        assert len({int(view[..., 0].max() - view[..., 0].min()) for view in views}) > 5
        assert all(view[-1, 0, 1] >= view[0, 0, 1] for view in views)
        rising.append(sum(view[0, -1, 0] >= view[0, 0, 0] for view in views))
    assert rising[0] == 40
    assert 5 < rising[1] < 35
