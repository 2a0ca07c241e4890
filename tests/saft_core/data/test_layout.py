from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.data.entries import Entry, Folder, Item, Rejection
from saft_core.data.layout import lay_out
from saft_core.data.paths import is_clutter
from tests.saft_core.data.uploads import LIMITS, entry


def labels(*paths: str) -> dict[str, str]:
    """Label by path for files at these paths, laid out without being read."""
    layout = lay_out([Entry(path, never_read) for path in paths], LIMITS)
    return {placed.entry.path: placed.label for placed in layout.placed}


def codes(*paths: str) -> dict[str, str]:
    layout = lay_out([Entry(path, never_read) for path in paths], LIMITS)
    assert all(rejection.reason.endswith(".") for rejection in layout.rejected)
    return {rejection.path: rejection.code for rejection in layout.rejected}


def never_read() -> bytes:
    raise AssertionError("read while being laid out")


def test_the_folder_is_the_label() -> None:
    assert labels("cat/1.jpg", "dog/1.jpg") == {"cat/1.jpg": "cat", "dog/1.jpg": "dog"}


@pytest.mark.parametrize("wrapper", ["data/", "data/train/", "a/b/c/d/"])
def test_folders_around_everything_are_looked_through(wrapper: str) -> None:
    paths = [f"{wrapper}cat/1.jpg", f"{wrapper}dog/1.jpg"]
    assert list(labels(*paths).values()) == ["cat", "dog"]
    assert codes(*paths) == {}


def test_two_folders_on_top_are_classes_and_what_lies_deeper_is_nested() -> None:
    paths = ["pets/cat/1.jpg", "pets/dog/1.jpg", "farm/cat/2.jpg", "farm/dog/2.jpg"]
    assert labels(*paths) == {}
    assert set(codes(*paths).values()) == {"nested_folder"}


def test_a_file_on_top_beside_class_folders() -> None:
    assert codes("cat/1.jpg", "dog/1.jpg", "stray.jpg") == {"stray.jpg": "no_class_folder"}
    assert labels("cat/1.jpg", "dog/1.jpg", "stray.jpg").keys() == {"cat/1.jpg", "dog/1.jpg"}


def test_a_file_directly_in_the_wrapper() -> None:
    paths = ["data/cat/1.jpg", "data/dog/1.jpg", "data/cover.jpg"]
    assert list(labels(*paths).values()) == ["cat", "dog"]
    assert codes(*paths) == {"data/cover.jpg": "no_class_folder"}


@pytest.mark.parametrize("stray", ["readme.md", "docs/readme.md", "docs/en/readme.md"])
def test_a_text_file_beside_the_wrapper_does_not_hide_it(stray: str) -> None:
    paths = ["data/cat/1.jpg", "data/dog/1.jpg", stray]
    assert list(labels(*paths).values()) == ["cat", "dog"]
    assert codes(*paths) == {stray: "no_class_folder"}


def test_an_image_beside_the_wrapper_makes_it_a_class() -> None:
    assert codes("data/cat/1.jpg", "other/1.jpg") == {"data/cat/1.jpg": "nested_folder"}


def test_a_single_class_is_not_mistaken_for_a_wrapper() -> None:
    assert labels("cat/1.jpg", "cat/2.jpg") == {"cat/1.jpg": "cat", "cat/2.jpg": "cat"}
    assert labels("cat/1.jpg", "cat/2.jpg", "cat/more/3.jpg").keys() == {"cat/1.jpg", "cat/2.jpg"}
    assert codes("cat/1.jpg", "cat/2.jpg", "cat/more/3.jpg") == {"cat/more/3.jpg": "nested_folder"}


def test_files_without_image_names_count_where_there_are_no_others() -> None:
    assert list(labels("data/cat/0001", "data/dog/0001").values()) == ["cat", "dog"]


def test_no_folders_at_all() -> None:
    assert codes("1.jpg", "2.jpg") == {"1.jpg": "no_class_folder", "2.jpg": "no_class_folder"}
    assert lay_out([], LIMITS).placed == ()


def test_the_reason_says_where_to_put_the_file() -> None:
    (rejection,) = lay_out([entry("stray.jpg", b"")], LIMITS).rejected
    assert "cat/stray.jpg" in rejection.reason


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        (" cat ", "cat"),
        ("hot_dog", "hot_dog"),
        ("hot dog", "hot dog"),
        ("e\u0301te\u0301", "été"),
        ("猫", "猫"),
        ("\u00a0cat\u3000", "cat"),
        ("c\u200bat\u200e", "cat"),
        ("\ufeffe\u0301", "é"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("x" * 100, "x" * 100),
        ("_", "_"),
    ],
)
def test_labels(folder: str, label: str) -> None:
    assert list(labels(f"{folder}/1.jpg", "other/1.jpg").values()) == [label, "other"]


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("x" * 101, "label_too_long"),
        (" ", "empty_label"),
        ("\u200b", "empty_label"),
        ("cat\x07", "control_characters"),
        ("cat\u202egod", "control_characters"),
        ("..", "unsafe_path"),
    ],
)
def test_labels_that_are_refused(folder: str, code: str) -> None:
    assert list(codes(f"{folder}/1.jpg", "other/1.jpg").values()) == [code]


def test_the_length_of_a_label_counts_characters_in_one_form() -> None:
    limits = replace(LIMITS, max_label_characters=3)
    assert len(lay_out([entry("e\u0301te\u0301/1.jpg", b"")], limits).placed) == 1
    assert len(lay_out([entry("étés/1.jpg", b"")], limits).placed) == 0


def test_empty_folders_are_named() -> None:
    items: list[Item] = [
        *(Folder(path) for path in ("data", "data/cat", "data/dog", "data/bird", "data/a", "data/a/b", ".git")),
        entry("data/cat/1.jpg", b""),
        entry("data/dog/.DS_Store", b""),
        Rejection("data/bird/1.jpg", "encrypted", "It is encrypted."),
    ]
    empty = [rejection.path for rejection in lay_out(items, LIMITS).rejected if rejection.code == "empty_folder"]
    assert empty == ["data/a/b", "data/dog"]


def test_what_was_turned_away_before_stays_turned_away() -> None:
    before = Rejection("cat/1.jpg", "encrypted", "It is encrypted.")
    assert lay_out([before], LIMITS).rejected == (before,)


def test_clutter_is_dropped_without_a_word() -> None:
    paths = ["cat/.DS_Store", "__MACOSX/cat/._1.jpg", "cat/Thumbs.db", ".hidden"]
    assert labels(*paths) == codes(*paths) == {}


names = st.sampled_from(["a", "b", "c.jpg", "d.png", "..", ".", " ", "e.txt", ".x", "\0", "/"])


@given(st.lists(st.lists(names, min_size=1, max_size=5).map("/".join), max_size=12))
def test_every_file_is_placed_or_rejected_or_clutter(paths: list[str]) -> None:
    layout = lay_out([Entry(path, never_read) for path in paths], LIMITS)
    assert len(layout.placed) + len(layout.rejected) == sum(not is_clutter(path) for path in paths)
    for placed in layout.placed:
        *wrapper, folder, _ = placed.entry.path.split("/")
        assert placed.label == folder.strip() != ""
        assert wrapper == layout.placed[0].entry.path.split("/")[:-2]
