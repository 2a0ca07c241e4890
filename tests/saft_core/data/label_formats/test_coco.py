from __future__ import annotations

import json
from typing import Any

import pytest

from tests.saft_core.data.label_formats.files import codes, labels, read, refused, to_test


def coco(files: list[str], shown: list[tuple[Any, Any]], **more: Any) -> str:
    """A COCO file: images numbered from 1, (image, category) of its annotations, categories 1 cat and 2 dog."""
    return json.dumps(
        {
            "info": {"year": 2017},
            "images": [{"id": n, "file_name": name, "width": 4} for n, name in enumerate(files, 1)],
            "annotations": [
                {"id": n, "image_id": image, "category_id": category, "bbox": [0.5, 1, 2, 3], "segmentation": [[1, 2]]}
                for n, (image, category) in enumerate(shown)
            ],
            "categories": [{"id": 1, "name": "cat", "supercategory": "pet"}, {"id": 2, "name": "dog"}],
        }
        | more
    )


@pytest.mark.parametrize("wrapper", ["", "set/"])
def test_the_category_of_an_image(wrapper: str) -> None:
    files = {f"{wrapper.replace('/', '__')}annotations__instances_train2017_DOT_json": coco(["1.jpg"], [(1, 1)])}
    files |= {f"{wrapper.replace('/', '__')}annotations__instances_val2017_DOT_json": coco(["2.jpg"], [(1, 2), (1, 2)])}
    found = read(f"{wrapper}train2017/1.jpg {wrapper}val2017/2.jpg", **files)
    assert list(labels(found).values()) == ["cat", "dog"]
    assert found.rejected == ()


def test_a_file_in_each_split_as_roboflow_writes_them() -> None:
    files = {
        f"{part}___annotations_DOT_coco_DOT_json": coco(["1.jpg"], [(1, 2)]) for part in ("train", "valid", "test")
    }
    found = read("train/1.jpg valid/1.jpg test/1.jpg README.dataset.txt", **files)
    assert labels(found) == {f"{part}/1.jpg": "dog" for part in ("train", "valid", "test")}
    assert to_test(found) == ["test/1.jpg"]


def test_any_name_and_ids_of_text() -> None:
    data = json.dumps(
        {
            "images": [{"id": "a", "file_name": "photos/1.jpg"}, {"id": 7, "file_name": "photos/2.jpg"}],
            "annotations": [{"image_id": "a", "category_id": "1"}, {"image_id": "7", "category_id": "x"}],
            "categories": [{"id": 1, "name": "cat"}, {"id": "x", "name": "dog"}],
        }
    )
    assert labels(read("photos/1.jpg photos/2.jpg", result_DOT_json="\ufeff" + data)) == {
        "photos/1.jpg": "cat",
        "photos/2.jpg": "dog",
    }


def test_images_without_one_category_are_turned_away() -> None:
    shown = [(1, 1), (2, 1), (2, 2), (3, 99), (77, 1), (5, 1)]
    found = read("1.jpg 2.jpg 3.jpg 4.jpg 6.jpg", annotations_DOT_json=coco([f"{n}.jpg" for n in range(1, 6)], shown))
    assert labels(found) == {"1.jpg": "cat"}
    assert codes(found) == {
        "2.jpg": "several_labels",
        "3.jpg": "no_label",
        "4.jpg": "no_label",
        "5.jpg": "missing_file",
        "6.jpg": "unlabelled",
    }
    reason = next(each for each in found.rejected if each.path == "2.jpg").reason
    assert "'cat', 'dog'" in reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("{}", "images"),
        ("[]", "array"),
        ("7", "int"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "$.images[0]"),
        ('{"images": [{"id": 1.5, "file_name": "1.jpg"}], "annotations": [], "categories": []}', "$.images[0].id"),
        ('{"images": [{"id": true, "file_name": "1.jpg"}], "annotations": [], "categories": []}', "$.images[0].id"),
        ('{"images": [{"id": ' + "9" * 5_000 + "}]}", "$.images[0].id"),
        ('{"info": ' + "[" * 500_000, "nested"),
        ('{"info": ' + '{"a":' * 100_000, "nested"),
        (b'{"info": "\xff"}', "images"),
        ('{"images": NaN}', "malformed"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(data: str | bytes, words: str) -> None:
    message = refused("train/1.jpg", train___annotations_DOT_coco_DOT_json=data)
    assert "'train/_annotations.coco.json'" in message
    assert words in message


def test_a_label_of_control_characters_does_not_get_through() -> None:
    data = coco(["1.jpg"], [(1, 1)], categories=[{"id": 1, "name": "a\0b"}])
    assert codes(read("1.jpg", annotations_DOT_json=data)) == {"1.jpg": "control_characters"}
    data = coco(["\0.jpg"], [(1, 1)])
    assert codes(read("1.jpg", annotations_DOT_json=data)) == {"\\x00.jpg": "missing_file", "1.jpg": "unlabelled"}
