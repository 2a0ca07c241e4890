"""Icons as pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tools.pretrain.render import RENDER_SIZE, on_white, rasterise, render_set
from tools.pretrain.sources import Icon


def svg(width: int, height: int, body: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{body}</svg>'


def square(colour: str) -> str:
    return svg(16, 16, f'<rect width="16" height="16" fill="{colour}"/>')


WIDE = svg(32, 16, '<rect width="32" height="16" fill="#00ff00"/>')
REFUSED, BLANK = "<svg", svg(16, 16, "")


def test_an_icon_fills_the_width_and_lies_in_the_middle_of_what_is_transparent() -> None:
    pixels = rasterise(WIDE, 40)
    assert pixels is not None
    assert pixels.shape == (40, 40, 4)
    assert (pixels[10:30, :, 1] == 255).all()
    assert not pixels[:9, :, 3].any()
    assert not pixels[31:, :, 3].any()


@pytest.mark.parametrize("drawing", [REFUSED, BLANK])
def test_what_cannot_be_drawn_is_no_picture(drawing: str) -> None:
    assert rasterise(drawing) is None


def test_a_set_is_rendered_in_order_and_read_from_its_cache_afterwards(tmp_path: Path) -> None:
    drawings = (square("#ff0000"), REFUSED, square("#0000ff"))
    icons = [Icon("noto", str(number), str(number), None, drawing) for number, drawing in enumerate(drawings)]
    pixels, drawn = render_set(icons, tmp_path / "renders/noto.npz", 1)
    assert drawn.tolist() == [True, False, True]
    assert pixels.shape == (3, RENDER_SIZE, RENDER_SIZE, 4)
    middle = pixels[:, RENDER_SIZE // 2, RENDER_SIZE // 2]
    assert middle.tolist() == [[255, 0, 0, 255], [0, 0, 0, 0], [0, 0, 255, 255]]
    again, _ = render_set([], tmp_path / "renders/noto.npz", 1)
    assert np.array_equal(again, pixels)


def test_what_is_transparent_becomes_white() -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (255, 0, 0, 255)
    picture = on_white(pixels)
    assert (picture.mode, picture.getpixel((0, 0)), picture.getpixel((1, 1))) == (
        "RGB",
        (255, 0, 0),
        (255, 255, 255),
    )
