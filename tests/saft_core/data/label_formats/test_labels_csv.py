from __future__ import annotations

from dataclasses import replace

import pytest

from saft_core.data.entries import Rejection
from saft_core.data.label_formats.labels_csv import recognise
from saft_core.data.label_formats.labels_files import MAX_LISTED_MISSING, ROWS_PER_IMAGE
from saft_core.data.label_formats.table import labelled
from saft_core.data.label_formats.upload import Upload
from saft_core.errors import InvalidDataset
from tests.saft_core.data.label_formats.files import codes, labels, read, refused, to_test, upload
from tests.saft_core.data.uploads import LIMITS

ROWS = "1.png,cat\n2.png,hot dog\n"
BOTH = {"1.png": "cat", "2.png": "hot dog"}


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    "header",
    ["", "file,label\n", "filename,label\n", "File,Label\r\n", '"file","label"\n', "\nfile,label\n", "image,class\n"],
)
def test_two_columns(bom: str, delimiter: str, header: str) -> None:
    table = bom + (header + ROWS).replace(",", delimiter)
    for paths in ("1.png 2.png", "photos/1.png photos/2.png"):
        found = read(paths, labels_DOT_csv=table)
        assert list(labels(found).values()) == ["cat", "hot dog"]
        assert found.rejected == ()


def test_other_columns_are_left_alone_if_the_first_line_names_two() -> None:
    assert labels(read("1.png", labels_DOT_csv="id,label,width,file\n7,cat,100,1.png\n")) == {"1.png": "cat"}
    assert labels(read("1.png", labels_DOT_tsv="file\tlabel\n1.png\tcat\n")) == {"1.png": "cat"}


def test_a_comma_in_a_file_name_does_not_part_columns() -> None:
    table = "a,b.png;cat\n"
    assert labels(read("a,b.png", labels_DOT_csv=table)) == {"a,b.png": "cat"}
    assert labels(read("a,b.png", labels_DOT_csv='"a,b.png","cat"\n')) == {"a,b.png": "cat"}


@pytest.mark.parametrize("wrapper", ["", "set/"])
@pytest.mark.parametrize("name", ["images/1.png", "./images/1.png", "images\\1.png", "1.png", "1", "images/1"])
def test_what_a_file_may_be_called(wrapper: str, name: str) -> None:
    paths = f"{wrapper}images/1.png {wrapper}images/2.png"
    found = read(paths, **{f"{wrapper.replace('/', '__')}labels_DOT_csv": f"file,label\n{name},cat\n2.png,dog\n"})
    assert list(labels(found).values()) == ["cat", "dog"]


@pytest.mark.parametrize("name", ["../1.png", "/1.png", "C:\\1.png", "other/1.png", "", "\0", "x" * 2000, "1.jpg"])
def test_a_name_that_is_no_uploaded_file_is_missing(name: str) -> None:
    found = read("images/1.png images/2.png", labels_DOT_csv=f"file,label\n{name},cat\n2.png,dog\n")
    assert labels(found) == {"images/2.png": "dog"}
    assert sorted(codes(found).values()) == ["missing_file", "unlabelled"]


def test_the_nearest_file_is_meant_and_the_end_of_several_is_ambiguous() -> None:
    found = read("train/1.png valid/1.png", train__labels_DOT_csv="1.png,cat\n", valid__labels_DOT_csv="1.png,dog\n")
    assert labels(found) == {"train/1.png": "cat", "valid/1.png": "dog"}
    found = read("train/1.png valid/1.png valid/2.png", labels_DOT_csv="1.png,cat\n2.png,dog\n")
    assert labels(found) == {"valid/2.png": "dog"}
    assert codes(found)["1.png"] == "ambiguous_name"


def test_splits_are_told_by_folders_wherever_the_labels_are() -> None:
    images = "set/train/1.png set/val/2.png set/test/3.png"
    found = read(images, set__labels_DOT_csv="train/1.png,cat\nval/2.png,dog\ntest/3.png,dog\n")
    assert to_test(found) == ["set/test/3.png"]
    parts = {f"set__{part}__labels_DOT_csv": f"{n}.png,cat\n" for n, part in enumerate(("train", "val", "test"), 1)}
    assert to_test(read(images, **parts)) == ["set/test/3.png"]


def test_images_that_are_all_to_test_on_are_the_dataset() -> None:
    found = read("test/1.png test/2.png", test__labels_DOT_csv=ROWS)
    assert len(found.placed) == 2
    assert to_test(found) == []


def test_what_is_named_in_vain_and_what_is_not_named() -> None:
    found = read(
        "1.png 2.png 3.png 4.png readme.md", labels_DOT_csv="1.png,cat\n2.png,\n9.png,dog\n4.png,cat\n4.png,dog\n"
    )
    assert labels(found) == {"1.png": "cat"}
    assert codes(found) == {
        "2.png": "no_label",
        "3.png": "unlabelled",
        "4.png": "several_labels",
        "9.png": "missing_file",
        "readme.md": "unlabelled",
    }
    assert "'labels.csv' names it" in next(each for each in found.rejected if each.path == "9.png").reason


def test_the_same_label_twice_is_one() -> None:
    assert labels(read("1.png", labels_DOT_csv="1.png,cat\n1.png,cat\n")) == {"1.png": "cat"}


@pytest.mark.parametrize(
    ("label", "code"), [("x" * 101, "label_too_long"), ("\u200b", "empty_label"), ("a\x07b", "control_characters")]
)
def test_labels_are_checked_as_those_of_folders_are(label: str, code: str) -> None:
    assert codes(read("1.png", labels_DOT_csv=f"file,label\n1.png,{label}\n")) == {"1.png": code}
    assert labels(read("1.png", labels_DOT_csv="file,label\n1.png, e\u0301te\u0301 \n")) == {"1.png": "été"}


def test_class_folders_come_before_a_table() -> None:
    found = read("cat/1.png dog/2.png", labels_DOT_csv="cat/1.png,x\ndog/2.png,y\n")
    assert labels(found) == {"cat/1.png": "cat", "dog/2.png": "dog"}
    assert recognise(upload("cat/1.png dog/2.png", labels_DOT_csv="cat/1.png,x\n")) is None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("id,breed\n1.png,cat\n", "'file' and 'label'"),
        ("1.png\n2.png\n", "'file' and 'label'"),
        ("1.png,cat\n\xff".encode("latin-1"), "UTF-8"),
        ("1.png,cat\n".encode("utf-16"), "UTF-8"),
        ('1.png,"cat\n', "Line"),
        ('1.png,"' + "x\n" * 100_000, "field"),
        ("1.png," + "x" * 200_000, "field"),
        ("1.png," + "," * (2 << 20), "too long"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(table: str | bytes, words: str) -> None:
    limits = replace(LIMITS, max_labels_bytes=8 << 20)
    message = refused("photos/1.png", limits, photos__labels_DOT_csv=table)
    assert "'photos/labels.csv'" in message
    assert words in message


def test_a_table_that_is_too_large_is_named_with_the_limit() -> None:
    limits = replace(LIMITS, max_labels_bytes=len(ROWS))
    assert read("1.png 2.png", limits, labels_DOT_csv=ROWS).placed
    message = refused("1.png 2.png", limits, code="labels_file_too_large", labels_DOT_csv=ROWS + "\n")
    assert "'labels.csv'" in message
    assert "max_labels_bytes" in message


def test_rows_are_bounded_and_missing_files_are_counted() -> None:
    limits = replace(LIMITS, max_dataset_images=100)
    table = "1.png,cat\n" + "x,dog\n" * (100 * ROWS_PER_IMAGE - 1)
    found = read("1.png", limits, labels_DOT_csv=table)
    assert len(found.rejected) == MAX_LISTED_MISSING + 1
    assert (found.rejected[-1].path, found.rejected[-1].code) == ("labels.csv", "missing_file")
    assert f"{100 * ROWS_PER_IMAGE - 1 - MAX_LISTED_MISSING:,} more" in found.rejected[-1].reason
    assert "max_dataset_images" in refused("1.png", limits, labels_DOT_csv=table + "y,dog\n")


def test_without_a_labels_file_that_was_turned_away_nothing_is_guessed() -> None:
    found = upload("train/1.png test/2.png")
    turned_away = Rejection("train/labels.csv", "encrypted", "It is encrypted.")
    with pytest.raises(InvalidDataset, match=r"'train/labels.csv' cannot be read. It is encrypted.") as caught:
        labelled(Upload(found.files, (turned_away,), LIMITS))
    assert caught.value.error_code == "encrypted"
