from __future__ import annotations

import pytest

from tests.saft_core.data.label_formats.files import codes, labels, read, refused, to_test


@pytest.mark.parametrize("wrapper", ["", "export/", "a/b/"])
@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("train", "valid", "test"),
        ("train", "val", "test"),
        ("Training", "validation", "Test"),
        ("train", "dev", "eval"),
    ],
)
def test_train_and_valid_are_one_part_and_test_another(wrapper: str, train: str, valid: str, test: str) -> None:
    paths = [f"{wrapper}{split}/{label}/{split}.png" for split in (train, valid, test) for label in ("cat", "dog")]
    found = read(" ".join(paths))
    assert labels(found) == {path: path.split("/")[-2] for path in paths}
    assert to_test(found) == [path for path in paths if f"{test}/" in path]
    assert found.rejected == ()


def test_a_file_beside_the_splits_is_turned_away() -> None:
    """As Fruits-360 and Roboflow have them."""
    found = read("Training/kiwi/1.png Training/fig/2.png Test/kiwi/3.png Test-several/4.png README.roboflow.txt 5.png")
    assert to_test(found) == ["Test/kiwi/3.png"]
    assert codes(found) == dict.fromkeys(["Test-several/4.png", "README.roboflow.txt", "5.png"], "no_class_folder")


def test_images_to_test_on_without_class_folders_have_no_label() -> None:
    found = read("train/cat/1.png train/dog/2.png test/3.png unlabeled/cat/4.png")
    assert labels(found) == {"train/cat/1.png": "cat", "train/dog/2.png": "dog"}
    assert codes(found) == {"test/3.png": "no_class_folder", "unlabeled/cat/4.png": "no_class_folder"}


def test_folders_within_a_split_are_looked_through() -> None:
    found = read("train/images/cat/1.png train/images/dog/2.png test/images/cat/3.png test/images/dog/4.png")
    assert list(labels(found).values()) == ["cat", "dog", "cat", "dog"]
    assert codes(read("train/cat/1.png train/dog/2.png val/cat/more/3.png val/dog/4.png")) == {
        "val/cat/more/3.png": "nested_folder"
    }


@pytest.mark.parametrize("wrapper", ["", "vehicles/"])
@pytest.mark.parametrize("names", [("train", "test"), ("Train", "Test"), ("bus", "test", "train")])
def test_classes_called_train_and_test_stay_classes(wrapper: str, names: tuple[str, ...]) -> None:
    paths = [f"{wrapper}{name}/{n}.png" for name in names for n in range(2)]
    found = read(" ".join(paths))
    assert labels(found) == {path: path.split("/")[-2] for path in paths}
    assert to_test(found) == []


def test_a_class_called_train_with_one_folder_too_many_is_no_split() -> None:
    found = read("bus/1.png car/2.png train/3.png train/steam/4.png")
    assert sorted(set(labels(found).values())) == ["bus", "car", "train"]
    assert codes(found) == {"train/steam/4.png": "nested_folder"}


def test_a_class_called_test_within_the_splits() -> None:
    found = read("train/test/1.png train/bus/2.png test/test/3.png test/bus/4.png")
    assert list(labels(found).values()) == ["test", "bus", "test", "bus"]
    assert to_test(found) == ["test/test/3.png", "test/bus/4.png"]


@pytest.mark.parametrize(
    "paths",
    [
        "train/good/1.png test/bad/2.png ground_truth/bad/2.png",
        "train/images/1.png valid/images/2.png",
        "train/1.png valid/2.png test/3.png",
        "train/1.png train/more/2.png test/3.png",
    ],
)
def test_what_only_looks_like_splits_of_classes(paths: str) -> None:
    assert "labels.csv" in refused(paths, code="unsupported_layout")
