from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.data.paths import MAX_PATH_CHARACTERS, is_clutter, is_control, normalise_path, printable, visible
from saft_core.errors import InvalidInput

hostile_names = st.lists(
    st.sampled_from(
        ["..", ".", "/", "\\", "C:", "a", "é", "e\u0301", "\0", "\n", "\u202e", "\ud800", " ", "猫", "%2e%2e"]
    )
    | st.text(max_size=5),
    max_size=12,
).map("".join) | st.lists(st.sampled_from(["..", ".", "", "cat", "1.jpg"]), max_size=6).map("/".join)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cat/1.jpg", "cat/1.jpg"),
        ("./cat/1.jpg", "cat/1.jpg"),
        ("cat//./1.jpg", "cat/1.jpg"),
        ("cat\\1.jpg", "cat/1.jpg"),
        (".\\pets\\cat/1.jpg", "pets/cat/1.jpg"),
        ("cat/", "cat"),
        ("e\u0301te\u0301/1.jpg", "été/1.jpg"),
        ("猫/ネコ.png", "猫/ネコ.png"),
        ("a..b/..c/d..", "a..b/..c/d.."),
        ("cat/12:30.jpg", "cat/12:30.jpg"),
        ("👩\u200d🚀/1.png", "👩\u200d🚀/1.png"),
    ],
)
def test_safe_names_are_kept(name: str, path: str) -> None:
    assert normalise_path(name) == path


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/etc/passwd", "unsafe_path"),
        ("//server/share/1.jpg", "unsafe_path"),
        ("../1.jpg", "unsafe_path"),
        ("cat/../../1.jpg", "unsafe_path"),
        ("cat/..", "unsafe_path"),
        ("\\etc\\passwd", "unsafe_path"),
        ("\\\\server\\share\\1.jpg", "unsafe_path"),
        ("cat\\..\\..\\1.jpg", "unsafe_path"),
        ("cat/..\\1.jpg", "unsafe_path"),
        ("C:\\cat\\1.jpg", "unsafe_path"),
        (".\\C:\\1.jpg", "unsafe_path"),
        ("..\\..\\1.jpg", "unsafe_path"),
        ("C:/cat/1.jpg", "unsafe_path"),
        ("c:1.jpg", "unsafe_path"),
        ("./C:/1.jpg", "unsafe_path"),
        ("", "unsafe_path"),
        ("./.", "unsafe_path"),
        ("cat/1.jpg\0.txt", "control_characters"),
        ("cat\n/1.jpg", "control_characters"),
        ("cat/gpj.\u202e1", "control_characters"),
        ("cat/\udcff.jpg", "control_characters"),
        ("cat/\u2028.jpg", "control_characters"),
        ("c/" + "x" * MAX_PATH_CHARACTERS, "path_too_long"),
    ],
)
def test_unsafe_names_are_refused(name: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        normalise_path(name)
    assert caught.value.error_code == code


@given(hostile_names)
def test_what_comes_out_is_always_safe(name: str) -> None:
    try:
        path = normalise_path(name)
    except InvalidInput:
        return
    parts = path.split("/")
    assert not set(parts) & {"", ".", ".."}
    assert "\\" not in path
    assert not re.match("[A-Za-z]:", parts[0])
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in path)
    assert unicodedata.is_normalized("NFC", path)
    assert 0 < len(path) <= MAX_PATH_CHARACTERS
    assert normalise_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "__MACOSX/cat/._1.jpg",
        "cat/.DS_Store",
        "cat/Thumbs.db",
        "cat/THUMBS.DB",
        "Desktop.ini",
        ".git/config",
        "__MACOSX\\cat\\1.jpg",
        "cat\\Thumbs.db",
        "/",
        "./",
        ".\\",
        "",
    ],
)
def test_clutter(path: str) -> None:
    assert is_clutter(path)


@pytest.mark.parametrize("path", ["cat/1.jpg", "../1.jpg", "./cat/1.jpg", "cat/thumbs.db.jpg", "a.b/c"])
def test_not_clutter(path: str) -> None:
    assert not is_clutter(path)


@given(hostile_names)
def test_printable_names_can_be_stored(name: str) -> None:
    shown = printable(name)
    assert not any(is_control(character) for character in shown)
    assert len(shown) <= MAX_PATH_CHARACTERS
    shown.encode("utf-8")


def test_printable_leaves_names_in_any_script_alone() -> None:
    assert printable("猫/été.jpg") == "猫/été.jpg"
    assert printable("a\0b\u202ec\udcff") == "a\\x00b\\u202ec\\udcff"
    assert printable("x" * 5000).endswith("x…")


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        (" cat\u3000", "cat"),
        ("\ufeffcat", "cat"),
        ("c\u200bat\u200e", "cat"),
        ("so\u00adfa", "sofa"),
        ("\u200f قط \u200f", "قط"),
        ("cat\u200d", "cat"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("\u200b\u3164 ", ""),
    ],
)
def test_what_is_to_be_seen_of_a_name(name: str, seen: str) -> None:
    assert visible(name) == seen
