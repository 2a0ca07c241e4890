from __future__ import annotations

import json
from typing import Any

from tests.saft_core.data.label_formats.files import codes, labels, read, refused

ID = "2c2ebd05-9b62-4a2f-8e0d-4e3a0c5d8a1"


def tagged(number: int, *tags: str, **more: Any) -> dict[str, Any]:
    """One image as the training API 3.3 tells of it."""
    return {
        "id": f"{ID}{number}",
        "created": "2019-10-06T05:43:18Z",
        "width": 800,
        "originalImageUri": "https://example.net/i-1?sig=x",
        "tags": [{"tagId": "b5f7e6a2", "tagName": tag, "created": "2019-10-06T05:43:18Z"} for tag in tags],
        "regions": [],
    } | more


def test_images_saved_under_their_ids() -> None:
    data = json.dumps([tagged(1, "Hemlock"), tagged(2, "Japanese Cherry"), tagged(3, "Hemlock")])
    found = read(f"images/{ID}1.jpg images/{ID}2.png images/image_{ID}3.jpg", tagged_DOT_json=data)
    assert list(labels(found).values()) == ["Hemlock", "Japanese Cherry", "Hemlock"]
    assert found.rejected == ()


def test_what_pythons_client_writes_and_a_file_name_that_was_saved() -> None:
    tags = [{"tag_id": "b5f7e6a2", "tag_name": "Hemlock"}]
    data = json.dumps({"images": [{"id": "7", "tags": tags}, {"id": "8", "tags": ["Fir"], "file_name": "tree.png"}]})
    assert list(labels(read("7.jpg tree.png", export_DOT_json=data)).values()) == ["Hemlock", "Fir"]


def test_one_tag_is_what_an_image_has() -> None:
    images = [tagged(1, "Hemlock"), tagged(2, "Hemlock", "Fir"), tagged(3), tagged(4, "Fir"), tagged(5, tags=None)]
    found = read(f"{ID}1.jpg {ID}2.jpg {ID}3.jpg {ID}5.jpg 6.jpg", tagged_DOT_json=json.dumps(images))
    assert labels(found) == {f"{ID}1.jpg": "Hemlock"}
    assert codes(found) == {
        f"{ID}2.jpg": "several_labels",
        f"{ID}3.jpg": "no_label",
        f"{ID}4": "missing_file",
        f"{ID}5.jpg": "no_label",
        "6.jpg": "unlabelled",
    }


def test_folders_of_tags_are_class_folders() -> None:
    found = read(
        f"Fir/{ID}1.jpg Hemlock/{ID}2.jpg", images_metadata_DOT_json=json.dumps({"images": [tagged(1, "Fir")]})
    )
    assert list(labels(found).values()) == ["Fir", "Hemlock"]


def test_other_json_is_no_export_and_broken_json_is_named() -> None:
    refused("1.jpg", code="unsupported_layout", about_DOT_json='{"name": "set"}')
    assert "'about.json'" in refused("1.jpg", about_DOT_json='{"name": ')
