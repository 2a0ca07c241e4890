from pathlib import Path

import pytest
from PIL import Image

from tools.samples.pictures import DRAWN_SIZE, LONG_SIDE, drawing, photograph, save

WHITE = (255, 255, 255)


def test_a_photograph_is_made_smaller_and_not_cropped() -> None:
    picture = Image.new("RGB", (1280, 640), "navy")

    assert photograph(picture).size == (LONG_SIDE, LONG_SIDE // 2)


def test_a_small_photograph_stays_as_it_is() -> None:
    assert photograph(Image.new("RGB", (60, 40), "navy")).size == (60, 40)


def test_a_cut_out_lies_on_white_with_air_around_it() -> None:
    cut_out = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    cut_out.paste((200, 0, 0, 255), (50, 30, 150, 70))

    put = photograph(cut_out)

    assert put.mode == "RGB"
    assert put.size == (110, 50)
    assert put.getpixel((4, 25)) == WHITE
    assert put.getpixel((5, 25)) == (200, 0, 0)


def test_a_drawing_lies_in_the_middle_of_a_square() -> None:
    put = drawing(Image.new("RGBA", (100, 20), (0, 90, 0, 255)))

    assert put.size == (DRAWN_SIZE, DRAWN_SIZE)
    assert put.getpixel((DRAWN_SIZE // 2, DRAWN_SIZE // 2)) == (0, 90, 0)
    assert put.getpixel((DRAWN_SIZE // 2, 5)) == WHITE


@pytest.mark.parametrize(("name", "kind"), [("a.webp", "WEBP"), ("a.png", "PNG")])
def test_the_ending_says_the_format(tmp_path: Path, name: str, kind: str) -> None:
    save(Image.new("RGB", (8, 8)), tmp_path / "new" / name)

    with Image.open(tmp_path / "new" / name) as opened:
        assert opened.format == kind
