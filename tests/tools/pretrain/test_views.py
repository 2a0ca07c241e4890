"""What the image tower is shown."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tools.pretrain.views import SIZE, drawing_view, photograph_view, styled


@pytest.mark.parametrize("monochrome", [False, True])
def test_views_of_a_drawing_show_it_on_some_ground(monochrome: bool) -> None:
    rgba = np.zeros((128, 128, 4), np.uint8)
    rgba[32:96, 32:96] = (200, 30, 30, 255)
    for seed in range(40):
        view = drawing_view(rgba, monochrome, np.random.default_rng(seed))
        assert (view.size, view.mode) == ((SIZE, SIZE), "RGB")
        assert np.asarray(view).std() > 3
        assert view.tobytes() == drawing_view(rgba, monochrome, np.random.default_rng(seed)).tobytes()


def test_views_of_a_photograph_are_parts_of_it() -> None:
    photograph = Image.linear_gradient("L").convert("RGB").resize((300, 90))
    for seed in range(20):
        view = photograph_view(photograph, np.random.default_rng(seed))
        assert view.size == (SIZE, SIZE)
        column = np.asarray(view)[:, 80, 0].astype(int)
        assert (np.diff(column) >= -1).all()  # still dark above and bright below


def test_a_styled_view_shows_the_same_in_another_way() -> None:
    view = Image.new("RGB", (SIZE, SIZE), (40, 90, 160))
    view.paste((230, 200, 60), (48, 48, 112, 112))
    looks = {styled(view, np.random.default_rng(seed)).tobytes() for seed in range(40)}
    assert len(looks) > 10
    for seed in range(40):
        look = styled(view, np.random.default_rng(seed))
        assert (look.size, look.mode) == ((SIZE, SIZE), "RGB")
        assert np.asarray(look).std() > 3  # the square is still to be seen
