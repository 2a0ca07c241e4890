"""Which icons are trained on, how often, and under which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tools.pretrain.icons import CAT, CHILE, COOK, SQUARE, record, write_set, write_words
from tools.pretrain import corpus
from tools.pretrain.corpus import captions, chances, is_monochrome, load_gallery, load_training
from tools.pretrain.render import RENDER_SIZE
from tools.pretrain.sources import EMOJI_SETS, ICON_SETS, EmojiTable, Icon, held_out, load_emoji

ICON = {"body": SQUARE}
SECRET = next(f"{number:X}" for number in range(0x1F400, 0x1F500) if held_out(f"{number:X}"))


@pytest.fixture
def table(tmp_path: Path) -> EmojiTable:
    write_words(tmp_path, record(SECRET, "sea lion", 0))
    return load_emoji(tmp_path)


def icon_of(table: EmojiTable, code: str, set_name: str = "noto") -> Icon:
    emoji = table.by_code[code]
    return Icon(set_name, emoji.label, code, emoji, "")


def unnamed(name: str, set_name: str = "meteocons") -> Icon:
    return Icon(set_name, name, name, None, "")


def cached(cache: Path, name: str, drawn: list[bool]) -> None:
    """Pictures as if rendered before; the first pixel's red is the number of the icon."""
    cache.mkdir(exist_ok=True)
    pixels = np.zeros((len(drawn), RENDER_SIZE, RENDER_SIZE, 4), np.uint8)
    pixels[:, 0, 0, 0] = range(len(drawn))
    np.savez(cache / f"{name}.npz", pixels=pixels, drawn=drawn)


@pytest.mark.usefixtures("table")
def test_a_gallery_has_a_picture_of_every_icon_that_could_be_drawn(tmp_path: Path) -> None:
    write_set(tmp_path, "noto", {"cat-face": ICON, "dog-face": ICON, "man-cook": ICON})
    write_set(tmp_path, "meteocons", {"rain": ICON})
    cached(tmp_path / "cache", "noto", [True, False, True])
    cached(tmp_path / "cache", "meteocons", [True])
    gallery = load_gallery(tmp_path, tmp_path / "cache", ("noto", "meteocons"), 1)
    assert [icon.name for icon in gallery.icons] == ["cat face", "man cook", "rain"]
    assert gallery.pixels[:, 0, 0, 0].tolist() == [0, 2, 0]


@pytest.mark.usefixtures("table")
def test_of_a_large_set_the_same_icons_are_taken_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "MOST_OF_A_SET", 3)
    write_set(tmp_path, "noto", {f"thing {letter}": ICON for letter in "abcdefgh"})
    cached(tmp_path / "cache", "noto", [True] * 3)
    first, second = (load_gallery(tmp_path, tmp_path / "cache", ("noto",), 1).icons for _ in range(2))
    assert first == second
    assert len(first) == 3
    assert [icon.name for icon in first] == sorted(icon.name for icon in first)


@pytest.mark.usefixtures("table")
def test_what_is_held_out_is_trained_on_in_no_set(tmp_path: Path) -> None:
    for name in (*EMOJI_SETS, *ICON_SETS):
        icons = {"cat-face": ICON, "sea-lion": ICON} | ({"baby-sea-lion-pup": ICON} if name in ICON_SETS else {})
        write_set(tmp_path, name, icons)
        cached(tmp_path / "cache", name, [True] * len(icons))
    gallery = load_training(tmp_path, tmp_path / "cache", 1)
    assert [icon.name for icon in gallery.icons] == ["cat face"] * (len(EMOJI_SETS) + len(ICON_SETS))
    assert len(gallery.pixels) == len(gallery.icons)


def test_flags_couples_and_unnamed_glyphs_do_not_crowd_out_the_rest(table: EmojiTable) -> None:
    chance = chances([icon_of(table, CAT), icon_of(table, CHILE), icon_of(table, COOK), unnamed("rune", "game-icons")])
    assert chance.sum() == pytest.approx(1)
    assert (chance / chance[0]).tolist() == pytest.approx([1, 0.1, 0.25, 0.12])


def test_an_icon_goes_by_its_names_and_by_what_kind_of_thing_it_is(table: EmojiTable) -> None:
    row = {"cat face": 0, "pet": 1, "mammal": 2, "animal": 3, "mostly cloudy": 4, "cloudy": 5}
    assert captions(icon_of(table, CAT), row) == ([0, 1], [2, 3])
    assert captions(unnamed("mostly cloudy"), row) == ([4, 5], [])
    assert captions(unnamed("unheard of"), row) == ([], [])


def test_drawings_in_one_colour_are_known(table: EmojiTable) -> None:
    assert is_monochrome(icon_of(table, CAT, "emojione-monotone"))
    assert not is_monochrome(icon_of(table, CAT))
