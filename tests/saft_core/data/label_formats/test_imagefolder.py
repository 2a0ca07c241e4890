from __future__ import annotations

from dataclasses import replace

import pytest

from tests.saft_core.data.label_formats.files import codes, labels, read, refused, to_test
from tests.saft_core.data.uploads import LIMITS

TWO = {"1.png": "cat", "2.png": "dog"}


@pytest.mark.parametrize(
    "table",
    [
        "file_name,label\n1.png,cat\n2.png,dog\n",
        "file_name,text\n1.png,cat\n2.png,dog\n",
        "text,width,file_name,label\nhere,7,1.png,cat\nthere,8,2.png,dog\n",
        "\ufefffile_name;label\r\n1.png;cat\r\n2.png;dog\r\n",
    ],
)
def test_a_table(table: str) -> None:
    assert labels(read("1.png 2.png", metadata_DOT_csv=table)) == TWO


@pytest.mark.parametrize(
    "lines",
    [
        '{"file_name": "1.png", "label": "cat"}\n{"file_name": "2.png", "label": "dog"}\n',
        '\ufeff{"file_name": "1.png", "text": "cat"}\r\n\r\n{"text": "dog", "file_name": "2.png"}',
        '{"file_name": "1.png", "label": "cat", "objects": {"bbox": [[1, 2]]}}\n{"file_name":"2.png","label":"dog"}',
    ],
)
def test_lines_of_json(lines: str) -> None:
    assert labels(read("1.png 2.png", metadata_DOT_jsonl=lines)) == TWO


def test_a_number_is_its_digits_and_anything_else_no_label() -> None:
    values = ["3", "null", '["cat"]', "true", "1.5", '""']
    lines = "".join(f'{{"file_name": "{n}.png", "label": {value}}}\n' for n, value in enumerate(values))
    found = read(" ".join(f"{n}.png" for n in range(6)), metadata_DOT_jsonl=lines)
    assert labels(found) == {"0.png": "3"}
    assert codes(found) == {f"{n}.png": "no_label" for n in range(1, 6)}


def test_one_file_in_each_split_or_one_above() -> None:
    line = '{"file_name": "%s", "label": "cat"}\n'
    found = read(
        "train/1.png test/1.png", train__metadata_DOT_jsonl=line % "1.png", test__metadata_DOT_jsonl=line % "1.png"
    )
    assert to_test(found) == ["test/1.png"]
    assert to_test(read("train/1.png test/1.png", metadata_DOT_jsonl=line % "train/1.png" + line % "test/1.png")) == [
        "test/1.png"
    ]


def test_class_folders_come_before_metadata() -> None:
    assert labels(read("cat/1.png dog/2.png", metadata_DOT_jsonl="not even JSON")) == {
        "cat/1.png": "cat",
        "dog/2.png": "dog",
    }


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('{"file_name": "1.png", "label": "cat"}\n{"label": "dog"}', "Line 2"),
        ('{"file_name": "1.png"}', "'label' or a 'text'"),
        ("", "'label' or a 'text'"),
        ('[{"file_name": "1.png", "label": "cat"}]', "Line 1"),
        ('{"file_name": "1.png", "label": "cat', "Line 1"),
        (b'{"file_name": "1.png", "label": "\xff"}', "Line 1"),
        (r'{"file_name": "1.png", "label": "\ud800"}', "Line 1"),
        ('{"file_name": "1.png", "label": ' + "[" * 100_000, "nested"),
        ('{"file_name": "1.png", "other": ' + "[" * 100_000, "nested"),
        ('{"file_name": "1.png", "label": "' + "x" * (1 << 20) + '"}', "Line 1 is too long"),
        ('{"file_name": "1.png", "label": ' + "9" * 5_000 + "}", "Line 1"),
    ],
)
def test_lines_that_cannot_be_read_are_named(lines: str | bytes, words: str) -> None:
    message = refused("1.png", replace(LIMITS, max_labels_bytes=2 << 20), metadata_DOT_jsonl=lines)
    assert "'metadata.jsonl'" in message
    assert words in message


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("file,label\n1.png,cat\n", "'file_name'"),
        ("file_name\n1.png\n", "'text'"),
        ("file_name,label\n1.png\n", "columns"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(table: str, words: str) -> None:
    assert words in refused("1.png", metadata_DOT_csv=table)
