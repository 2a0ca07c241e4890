from __future__ import annotations

import pytest

from tests.saft_core.data.label_formats.files import codes, labels, read, refused, to_test

HEADER = "filename, cat, hot dog\n"


def test_the_class_with_the_one_in_every_split() -> None:
    found = read(
        "train/1.jpg train/2.jpg valid/3.jpg test/4.jpg README.roboflow.txt",
        train___classes_DOT_csv=HEADER + "1.jpg, 1, 0\n2.jpg, 0, 1\n",
        valid___classes_DOT_csv=HEADER + "3.jpg, 0, 1\n",
        test___classes_DOT_csv=HEADER + "4.jpg, 1, 0\n",
    )
    assert labels(found) == {
        "train/1.jpg": "cat",
        "train/2.jpg": "hot dog",
        "valid/3.jpg": "hot dog",
        "test/4.jpg": "cat",
    }
    assert to_test(found) == ["test/4.jpg"]
    assert codes(found) == {"README.roboflow.txt": "unlabelled"}


def test_an_image_with_no_class_or_two_is_turned_away() -> None:
    found = read("1.jpg 2.jpg 3.jpg", _classes_DOT_csv=HEADER + "1.jpg,1,0\n2.jpg,1,1\n3.jpg,0,0\n4.jpg,0,1\n")
    assert labels(found) == {"1.jpg": "cat"}
    assert codes(found) == {"2.jpg": "several_labels", "3.jpg": "no_label", "4.jpg": "missing_file"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "first line"),
        ("cat,dog\n1.jpg,1\n", "first line"),
        (HEADER + "1.jpg,1\n", "2 columns, the first line 3"),
        (HEADER + "1.jpg,1,0,0\n", "4 columns"),
        (HEADER + "1.jpg,0.7,0.3\n", "'0.7'"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(table: str, words: str) -> None:
    message = refused("1.jpg", train___classes_DOT_csv=table)
    assert "'train/_classes.csv'" in message
    assert words in message
