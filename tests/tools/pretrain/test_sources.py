"""What is read from the icon packages: which icons, what each shows, and under which licence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.pretrain.icons import CAT, CHILE, DOG, SQUARE, write_set, write_words
from tools.pretrain.sources import EmojiTable, Icon, check_licence, clean_name, held_out, load_emoji, read_set

ICON = {"body": SQUARE}


@pytest.fixture
def table(tmp_path: Path) -> EmojiTable:
    write_words(tmp_path)
    return load_emoji(tmp_path)


def icons(packages: Path, name: str, table: EmojiTable) -> dict[str, Icon]:
    return {icon.name: icon for icon in read_set(packages, name, table)}


def test_emoji_have_the_words_of_both_tables_once_each(table: EmojiTable) -> None:
    assert table.by_code[CAT].keywords == ("pet", "meow", "house cat")
    assert table.by_code[CAT].subgroup == "animal-mammal"
    assert table.by_code[CHILE].label == "flag of Chile"
    assert "1F3FB" not in table.by_code


@pytest.mark.parametrize("name", ["cat-face", "Cat Face", "catface", "kitty"])
def test_an_emoji_is_found_by_every_spelling_of_its_name(table: EmojiTable, name: str) -> None:
    found = table.find(name)
    assert found is not None
    assert found.code == CAT


def test_exactly_its_label_and_no_looser_name_finds_an_emoji(table: EmojiTable) -> None:
    assert table.find("cat face", exact=True) is table.by_code[CAT]
    assert table.find("kitty", exact=True) is None
    assert table.find("no such thing") is None


def test_a_drawing_of_an_emoji_is_tied_to_its_code_however_it_is_named(tmp_path: Path, table: EmojiTable) -> None:
    write_set(tmp_path, "noto", {"whiskers": ICON, "dog-face": ICON}, {f"{CAT}-fe0f".lower(): "whiskers"})
    write_set(tmp_path, "fluent-color", {"cat-face": ICON, "puss": ICON})
    drawn = icons(tmp_path, "noto", table)
    assert {name: icon.concept for name, icon in drawn.items()} == {"whiskers": CAT, "dog face": DOG}
    loose = icons(tmp_path, "fluent-color", table)  # a vocabulary of its own: by its label alone
    assert {name: icon.concept for name, icon in loose.items()} == {"cat face": CAT, "puss": "puss"}


def test_hidden_icons_skin_tones_and_second_sizes_are_left_out(tmp_path: Path, table: EmojiTable) -> None:
    write_set(
        tmp_path,
        "noto",
        {"cat-face": ICON, "gone": ICON | {"hidden": True}, "wave-dark": ICON, "hand": ICON},
        {"1f44b-1f3ff": "hand"},
    )
    assert set(icons(tmp_path, "noto", table)) == {"cat face"}
    write_set(tmp_path, "fluent-color", {"alert-16": ICON, "alert-24": ICON})
    assert set(icons(tmp_path, "fluent-color", table)) == {"alert"}


def test_a_round_flag_is_that_of_its_country(tmp_path: Path, table: EmojiTable) -> None:
    write_set(tmp_path, "circle-flags", {"cl": ICON, "european-union": ICON})
    flags = icons(tmp_path, "circle-flags", table)
    assert flags["cl"].emoji is table.by_code[CHILE]
    assert flags["european union"].emoji is None


def test_the_picture_has_the_place_and_size_of_the_icon_or_else_of_its_set(tmp_path: Path, table: EmojiTable) -> None:
    write_set(tmp_path, "noto", {"cat-face": ICON | {"left": 2, "width": 20}})
    (icon,) = read_set(tmp_path, "noto", table)
    assert 'viewBox="2 0 20 16" width="20" height="16"' in icon.svg
    assert SQUARE in icon.svg


def test_a_set_without_a_permissive_licence_is_refused(tmp_path: Path, table: EmojiTable) -> None:
    write_set(tmp_path, "noto", {"cat-face": ICON}, licence="GPL-3.0")
    with pytest.raises(ValueError, match=r"noto is under GPL-3\.0"):
        list(read_set(tmp_path, "noto", table))
    assert check_licence("noto", {"license": {"spdx": "CC0-1.0"}}) == "CC0-1.0"


@pytest.mark.parametrize(
    ("name", "words"), [("alarm-clock-24", "alarm clock"), ("cat_face-fill-2", "cat face"), ("flat-iron", "flat iron")]
)
def test_a_name_is_said_without_sizes_and_styles(name: str, words: str) -> None:
    assert clean_name(name) == words


def test_about_eight_of_a_hundred_concepts_are_held_out_and_always_the_same() -> None:
    held = [number for number in range(5000) if held_out(f"concept {number}")]
    assert 350 < len(held) < 450
    assert held[:3] == [9, 14, 32]
