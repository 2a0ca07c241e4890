from __future__ import annotations

import pytest

from saft_core.data.entries import Entry
from saft_core.data.label_formats.upload import Labelled
from saft_core.data.layout import lay_out
from saft_core.errors import InvalidDataset
from tests.saft_core.data.uploads import LIMITS


def laid_out(*paths: str) -> Labelled:
    return lay_out([Entry(path, no_labels if path.endswith(".json") else never_read) for path in paths], LIMITS)


def never_read() -> bytes:
    raise AssertionError("read while being laid out")


def no_labels() -> bytes:
    return b'{"images": []}'


def refused(*paths: str) -> InvalidDataset:
    with pytest.raises(InvalidDataset) as caught:
        laid_out(*paths)
    assert caught.value.error_code == "unsupported_layout"
    assert "cat/1.jpg and dog/1.jpg" in caught.value.message
    return caught.value


KAGGLE = ("train/1.png", "train/2.png", "test/3.png", "test/4.png", "train.csv", "sample_submission.csv")
ROBOFLOW_YOLO = ("train/images/1.jpg", "train/labels/1.txt", "valid/images/2.jpg", "valid/labels/2.txt", "data.yaml")
YOLO = ("images/train/1.jpg", "images/val/2.jpg", "labels/train/1.txt", "labels/val/2.txt")
VOC = ("JPEGImages/1.jpg", "SegmentationClass/1.png", "SegmentationObject/1.png", "Annotations/1.xml")


@pytest.mark.parametrize("wrapper", ["", "archive/", "a/b/"])
@pytest.mark.parametrize(
    ("paths", "layout"),
    [
        (KAGGLE, "table"),
        (("train/1.png", "train/2.png", "train.csv"), "table"),
        (("flowers/1.png", "flowers/2.png", "flowers.tsv"), "table"),
        (("train_images/1.png", "test_images/2.png", "train.csv"), "table"),
        (("train2014/1.jpg", "train2017/2.jpg", "annotations/captions_train2014.json", "val2017/1.jpg"), "coco"),
        (YOLO, "yolo"),
        (("images/1.jpg", "labels/1.txt", "classes.txt"), "yolo"),
        (ROBOFLOW_YOLO, "yolo"),
        (("train/images/1.jpg", "train/labels/1.txt", "data.yaml"), "yolo"),
        (VOC, "segmentation"),
        (("JPEGImages/1.jpg", "Annotations/1.xml", "ImageSets/Main/train.txt"), "voc"),
        (("train/1.jpg", "train/1.xml", "valid/2.jpg", "valid/2.xml"), "voc"),
        (("train/1.jpg", "train/metadata.parquet", "test/2.jpg"), "huggingface"),
        (("images/1.png", "images/2.png", "flowers.csv"), "table"),
        (("images/1.png", "images/2.png", *(f"{n}.json" for n in range(20))), "table"),
        (("images/1.png", "masks/1.png"), "segmentation"),
        (("Images/1.png", "Labels/1.png"), "segmentation"),
        (("Training/1.png", "Testing/2.png"), "splits"),
        (("train/1.png", "validation/2.png", "test/3.png"), "splits"),
        (("training_set/1.png", "test_set/2.png"), "splits"),
        (("train1/1.png", "test1/2.png"), "splits"),
        (("trainA/1.jpg", "trainB/1.jpg", "testA/2.jpg", "testB/2.jpg"), "splits"),
        (("train/good/1.png", "test/bad/2.png", "ground_truth/bad/2.png"), "splits"),
        (("train/1.png", "unlabeled/2.png"), "splits"),
        (("images/1.png", "test/2.png"), "splits"),
    ],
)
def test_layouts_of_other_tools_are_refused_by_name(paths: tuple[str, ...], layout: str, wrapper: str) -> None:
    error = refused(*(wrapper + path for path in paths))
    assert error.details["layout"] == layout
    assert all(name in error.message for name in error.details["evidence"])


def test_images_beside_a_table_and_no_folders() -> None:
    assert refused("1.png", "2.png", "birds.csv").details == {"layout": "table", "evidence": ["birds.csv"]}


@pytest.mark.parametrize(
    ("labels", "stray"),
    [
        (("bus", "car", "train"), ()),
        (("bus", "train"), ("labels.csv",)),
        (("test tube", "train"), ()),
        (("trainer", "training shoe", "sneaker"), ()),
        (("with_mask", "without_mask"), ()),
        (("mask", "no_mask"), ()),
        (("labels", "stickers"), ()),
        (("images", "text"), ()),
        (("valid", "invalid"), ()),
        (("cat", "dog"), ("metadata.csv",)),
        (("cat", "dog"), ("annotations/instances.json", "data.yaml", "labels/1.txt", "1.xml")),
        (("train 1", "train 2"), ()),
        (("test", "train"), ()),
        (("Test", "Train"), ("readme.txt",)),
    ],
)
def test_honest_classes_are_taken_whatever_they_are_called(labels: tuple[str, ...], stray: tuple[str, ...]) -> None:
    for wrapper in ("", "set/"):
        paths = [f"{wrapper}{label}/{n}.png" for label in labels for n in range(2)]
        layout = laid_out(*paths, *(wrapper + path for path in stray))
        images = [placed for placed in layout.placed if placed.entry.path.endswith(".png")]
        assert [placed.label for placed in images] == [label for label in labels for _ in range(2)]


def test_one_part_alone_is_a_wrapper_of_its_classes() -> None:
    layout = laid_out("train/cat/1.png", "train/dog/2.png", "test.csv", "data.yaml")
    assert [placed.label for placed in layout.placed] == ["cat", "dog"]


def test_a_table_alone_is_no_layout_of_images() -> None:
    layout = laid_out("birds.csv")
    assert [rejection.code for rejection in layout.rejected] == ["no_class_folder"]


def test_files_without_image_names_are_told_by_their_folders() -> None:
    assert refused("train/0001", "train/0002", "valid/0003").details["layout"] == "splits"
    assert [placed.label for placed in laid_out("zero/0001", "one/0002").placed] == ["zero", "one"]
