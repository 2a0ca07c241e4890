from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.datasets import folders
from evaluation.datasets.dataset import DataSet, MissingData
from saft_core.data.samples import Sample
from tests.fixtures import layouts

TRAINED = {"train": {"b_c": 3, "a": 2}, "test": {"a": 1, "b_c": 2}}


def told(samples: Sequence[Sample]) -> list[tuple[str, int]]:
    return [(one.path, one.label) for one in samples]


def read(root: Path, parts: dict[str, dict[str, int]]) -> DataSet:
    return folders.read(layouts.class_folders(root, parts), "mine")


def test_classes_and_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = read(tmp_path, TRAINED)
    assert (found.name, found.labels) == ("mine", ("a", "b_c"))
    assert told(found.train) == [
        *[("train/a/0.png", 0), ("train/a/1.png", 0)],
        *[("train/b_c/0.png", 1), ("train/b_c/1.png", 1), ("train/b_c/2.png", 1)],
    ]
    assert told(found.test) == [("test/a/0.png", 0), ("test/b_c/0.png", 1), ("test/b_c/1.png", 1)]
    assert (found.val, found.shifted) == ((), ())
    assert found.test[2].read() == (tmp_path / "test/b_c/1.png").read_bytes()


def test_a_validation_folder_is_the_validation_part(tmp_path: Path) -> None:
    assert told(read(tmp_path, {**TRAINED, "val": {"b_c": 1}}).val) == [("val/b_c/0.png", 1)]


def test_folders_of_shifted_with_classes_are_as_many_test_sets(tmp_path: Path) -> None:
    found = read(tmp_path, {**TRAINED, "shifted/sketch": {"b_c": 1}, "shifted/art": {"a": 1, "b_c": 1}})
    assert [(test.name, test.labels) for test in found.shifted] == [("art", ("a", "b_c")), ("sketch", ("a", "b_c"))]
    assert told(found.shifted[0].samples) == [("shifted/art/a/0.png", 0), ("shifted/art/b_c/0.png", 1)]
    assert told(found.shifted[1].samples) == [("shifted/sketch/b_c/0.png", 1)]


def test_classes_in_shifted_are_one_test_set(tmp_path: Path) -> None:
    (test,) = read(tmp_path, {**TRAINED, "shifted": {"b_c": 1, "a": 1}}).shifted
    assert test.name == "shifted"
    assert told(test.samples) == [("shifted/a/0.png", 0), ("shifted/b_c/0.png", 1)]


def test_an_empty_shifted_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "shifted").mkdir()
    assert read(tmp_path, TRAINED).shifted == ()


def test_files_beside_the_folders_are_passed_over(tmp_path: Path) -> None:
    layouts.picture(tmp_path / "train/stray.png")
    (tmp_path / "SOURCES.csv").write_text("path,source\n")
    assert len(read(tmp_path, TRAINED).train) == 5


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"train": {"a": 1}}, "test is not there"),
        ({"test": {"a": 1}}, "train is not there"),
        ({"train": {}, "test": {"a": 1}}, "train is not there"),
        ({**TRAINED, "test": {"a": 1, "d": 1}}, "test/d is of no class"),
        ({**TRAINED, "val": {"d": 1}}, "val/d is of no class"),
        ({**TRAINED, "shifted/art": {"d": 1}}, "shifted/art/d is of no class"),
        ({**TRAINED, "shifted/art": {"a": 1}, "shifted": {"a": 1}}, "folders with images and folders without"),
    ],
)
def test_what_is_missing_or_mixed_up_is_named(tmp_path: Path, parts: dict[str, dict[str, int]], reason: str) -> None:
    with pytest.raises(MissingData, match=reason):
        read(tmp_path, parts)


@pytest.mark.parametrize(
    ("folder", "reason"),
    [("train/z", "train/z holds no image"), ("shifted/art", "shifted/art holds no folder")],
)
def test_an_empty_folder_is_refused(tmp_path: Path, folder: str, reason: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(MissingData, match=reason):
        read(tmp_path, TRAINED)


def test_a_train_folder_without_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(MissingData, match="train holds no folder"):
        read(tmp_path, {"test": {"a": 1}})
