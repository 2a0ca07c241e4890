import json
from pathlib import Path

import pytest

from evaluation.datasets import coop
from evaluation.datasets.dataset import MissingData
from tests.fixtures import layouts


@pytest.mark.parametrize("name", coop.PLACES)
def test_a_set_is_what_its_split_file_lists_in_the_order_of_the_file(tmp_path: Path, name: str) -> None:
    layouts.coop(tmp_path, name)
    found = coop.read(tmp_path, name)
    assert found.name == name
    assert found.labels == layouts.LABELS
    for part, samples in (("train", found.train), ("val", found.val), ("test", found.test)):
        assert [(one.path, one.label) for one in samples] == [row[:2] for row in layouts.SPLIT[part]]


@pytest.mark.parametrize("name", coop.PLACES)
def test_images_lie_where_coops_instructions_put_them(tmp_path: Path, name: str) -> None:
    layouts.coop(tmp_path, name)
    folder, _, images = layouts.COOP[name]
    for one in coop.read(tmp_path, name).train:
        assert one.read() == (tmp_path / folder / images / one.path).read_bytes()


def test_every_set_of_coops_that_has_a_split_file_is_known() -> None:
    assert sorted(coop.PLACES) == sorted(layouts.COOP)


def test_a_label_may_be_written_as_text(tmp_path: Path) -> None:
    rows = {part: [(path, str(label), name) for path, label, name in rows] for part, rows in layouts.SPLIT.items()}
    layouts.coop(tmp_path, "dtd").write_text(json.dumps(rows))
    assert [one.label for one in coop.read(tmp_path, "dtd").train] == [row[1] for row in layouts.SPLIT["train"]]


def test_what_else_a_split_file_says_is_passed_over(tmp_path: Path) -> None:
    layouts.coop(tmp_path, "dtd").write_text(json.dumps({**layouts.SPLIT, "made by": "somebody"}))
    assert coop.read(tmp_path, "dtd").labels == layouts.LABELS


def test_the_images_folder_may_be_a_link_to_where_they_lie(tmp_path: Path) -> None:
    layouts.coop(tmp_path / "data", "sun397")
    images = (tmp_path / "data/sun397/SUN397").rename(tmp_path / "elsewhere")
    (tmp_path / "data/sun397/SUN397").symlink_to(images)
    assert coop.read(tmp_path / "data", "sun397").train[0].read()


def test_a_missing_split_file_is_named(tmp_path: Path) -> None:
    layouts.coop(tmp_path, "oxford_pets").unlink()
    with pytest.raises(MissingData, match=r"oxford_pets/split_zhou_OxfordPets\.json is not there.*DATASETS\.md"):
        coop.read(tmp_path, "oxford_pets")


def test_a_missing_image_is_named_before_anything_trains(tmp_path: Path) -> None:
    layouts.coop(tmp_path, "food101")
    (tmp_path / "food-101/images/m/1.jpg").unlink()
    with pytest.raises(MissingData, match=r"food-101/images/m/1\.jpg is not there.*Extract the images anew"):
        coop.read(tmp_path, "food101")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jpg",
        "a/../../secret.jpg",
        "{}/secret.jpg",
        "..\\secret.jpg",
        "C:\\secret.jpg",
        "C:secret.jpg",
        "",
        ".",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    file = layouts.coop(tmp_path, "ucf101")
    layouts.picture(tmp_path / "ucf101/secret.jpg")
    split = {**layouts.SPLIT, "test": [[path.format(tmp_path / "ucf101"), 0, "arbour"]]}
    file.write_text(json.dumps(split))
    with pytest.raises(MissingData, match=r"split_zhou_UCF101\.json names .*, which is no path below"):
        coop.read(tmp_path, "ucf101")


@pytest.mark.parametrize("path", ["a\0b.jpg", "x" * 5000, "m"])
def test_what_is_no_file_is_missing(tmp_path: Path, path: str) -> None:
    file = layouts.coop(tmp_path, "ucf101")
    file.write_text(json.dumps({**layouts.SPLIT, "test": [[path, 0, "arbour"]]}))
    with pytest.raises(MissingData, match="is not there"):
        coop.read(tmp_path, "ucf101")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "truncated"),
        ("[]", "Expected `object`"),
        ('{"train": [], "val": []}', "missing required field `test`"),
        ('{"train": [["a.jpg", "zero", "cat"]], "val": [], "test": []}', r"\$\.train"),
        ('{"train": [["a.jpg", 0]], "val": [], "test": []}', r"\$\.train"),
        ("\x80", "split_zhou_DescribableTextures.json"),
    ],
)
def test_a_malformed_split_file_is_said_to_be_so(tmp_path: Path, content: str, reason: str) -> None:
    layouts.coop(tmp_path, "dtd").write_text(content, encoding="latin-1")
    with pytest.raises(MissingData, match=reason):
        coop.read(tmp_path, "dtd")


def test_a_split_without_images_is_refused(tmp_path: Path) -> None:
    layouts.coop(tmp_path, "dtd", {"train": [], "val": [], "test": []})
    with pytest.raises(MissingData, match="lists no image"):
        coop.read(tmp_path, "dtd")


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_that_do_not_count_up_from_0_are_refused(tmp_path: Path, label: int) -> None:
    layouts.coop(tmp_path, "dtd", {"train": [("a.jpg", 0, "cat"), ("b.jpg", label, "dog")], "val": [], "test": []})
    with pytest.raises(MissingData, match="no image of label 1 to train on"):
        coop.read(tmp_path, "dtd")


def test_a_class_that_is_only_tested_is_refused(tmp_path: Path) -> None:
    layouts.coop(tmp_path, "dtd", {"train": [("a.jpg", 0, "cat")], "val": [], "test": [("b.jpg", 1, "dog")]})
    with pytest.raises(MissingData, match="no image of label 1 to train on"):
        coop.read(tmp_path, "dtd")


def test_a_label_with_two_names_is_refused(tmp_path: Path) -> None:
    layouts.coop(tmp_path, "dtd", {"train": [("a.jpg", 0, "cat"), ("b.jpg", 0, "dog")], "val": [], "test": []})
    with pytest.raises(MissingData, match="calls label 0 both 'cat' and 'dog'"):
        coop.read(tmp_path, "dtd")


def test_an_image_that_trains_and_tests_is_refused(tmp_path: Path) -> None:
    layouts.coop(tmp_path, "dtd", {"train": [("a.jpg", 0, "cat")], "val": [], "test": [("a.jpg", 0, "cat")]})
    with pytest.raises(MissingData, match=r"has 'a\.jpg' under train and under test"):
        coop.read(tmp_path, "dtd")
