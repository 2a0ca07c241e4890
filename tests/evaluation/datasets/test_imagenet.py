import shutil
from pathlib import Path

import pytest

from evaluation.datasets import imagenet
from evaluation.datasets.dataset import MissingData
from tests.fixtures import layouts

NAMES = ("tench", "tiger shark", "hen", "kite")


def test_labels_are_the_words_of_the_sorted_training_folders(tmp_path: Path) -> None:
    layouts.imagenet(tmp_path)
    found = imagenet.read(tmp_path)
    assert found.labels == NAMES
    assert [(one.path, one.label) for one in found.train] == [
        (f"train/n0{label + 1}/n0{label + 1}_{number}.JPEG", label) for label in range(4) for number in range(5)
    ]


def test_the_validation_images_are_the_test(tmp_path: Path) -> None:
    layouts.imagenet(tmp_path)
    found = imagenet.read(tmp_path)
    assert [one.path for one in found.test][::5] == [f"val/n0{n}/ILSVRC2012_val_0.JPEG" for n in range(1, 5)]
    assert [one.label for one in found.test][::5] == [0, 1, 2, 3]
    assert not found.val


def test_the_order_of_classnames_txt_does_not_matter(tmp_path: Path) -> None:
    file = layouts.imagenet(tmp_path) / "classnames.txt"
    file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    found = imagenet.read(tmp_path)
    assert found.labels == NAMES
    assert {one.path: one.label for one in found.shifted[0].samples}["2/v2 of n03.jpeg"] == 2


def test_shifted_test_sets_are_scored_over_their_own_classes(tmp_path: Path) -> None:
    layouts.imagenet(tmp_path)
    found = imagenet.read(tmp_path)
    assert found.absent == {}
    told = {test.name: (test.labels, [(one.path, one.label) for one in test.samples]) for test in found.shifted}
    assert list(told) == ["imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"]
    assert told["imagenetv2"] == (NAMES, [(f"{n}/v2 of n0{n + 1}.jpeg", n) for n in range(4)])
    assert told["imagenet_sketch"] == (NAMES, [(f"n0{n + 1}/sketch_0.JPEG", n) for n in range(4)])
    assert told["imagenet_a"] == (("tiger shark", "kite"), [("n02/one.jpg", 0), ("n04/one.jpg", 1)])
    assert told["imagenet_r"] == (("tiger shark", "hen"), [("n02/one.jpg", 0), ("n03/one.jpg", 1)])


def test_folders_of_v2_are_positions_among_the_wnids_and_not_as_text(tmp_path: Path) -> None:
    root = layouts.imagenet(tmp_path)
    wnids = [f"m{n:02}" for n in range(12)]
    (root / "classnames.txt").write_text("".join(f"{wnid} class {n}\n" for n, wnid in enumerate(wnids)))
    shutil.rmtree(root / "images")
    for part in ("train", "val"):
        layouts.class_folders(root / "images", {part: dict.fromkeys(wnids, 1)})
    v2 = tmp_path / imagenet.V2
    shutil.rmtree(v2)
    for n in range(12):
        layouts.picture(v2 / str(n) / "one.jpeg")
    found = imagenet.read(tmp_path).shifted[0]
    assert [(one.path, found.labels[one.label]) for one in found.samples] == [
        (f"{n}/one.jpeg", f"class {n}") for n in range(12)
    ]


def test_of_a_part_of_the_classes_v2_and_sketch_have_the_same(tmp_path: Path) -> None:
    root = layouts.imagenet(tmp_path)
    for part in ("train", "val"):
        shutil.rmtree(root / "images" / part / "n02")
    v2, sketch, own, _ = imagenet.read(tmp_path).shifted
    assert v2.labels == sketch.labels == ("tench", "hen", "kite")
    assert [(one.path, one.label) for one in v2.samples][1] == ("2/v2 of n03.jpeg", 1)
    assert own.labels == ("tiger shark", "kite")


def test_a_shifted_set_that_is_not_there_is_absent_and_the_others_are_read(tmp_path: Path) -> None:
    layouts.imagenet(tmp_path)
    shutil.rmtree(tmp_path / "imagenet-rendition")
    shutil.rmtree(tmp_path / imagenet.V2 / "3")
    found = imagenet.read(tmp_path)
    assert [test.name for test in found.shifted] == ["imagenet_sketch", "imagenet_a"]
    assert list(found.absent) == ["imagenetv2", "imagenet_r"]
    assert "imagenet-rendition/imagenet-r is not there" in found.absent["imagenet_r"]
    assert "imagenetv2-matched-frequency-format-val/3 is not there" in found.absent["imagenetv2"]


def test_hidden_files_and_what_is_no_image_are_passed_over(tmp_path: Path) -> None:
    root = layouts.imagenet(tmp_path)
    before = [one.path for one in imagenet.read(tmp_path).train]
    for clutter in (".DS_Store", "n01/Thumbs.db", "n01/._n01_0.JPEG", "n01/list.txt", ".cache/one.JPEG"):
        layouts.picture((root / "images/train" / clutter).with_suffix(".jpg")).rename(root / "images/train" / clutter)
    assert [one.path for one in imagenet.read(tmp_path).train] == before


@pytest.mark.parametrize("name", ["classnames.txt", "images/train", "images/val"])
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    gone = layouts.imagenet(tmp_path) / name
    gone.rename(tmp_path / "elsewhere")
    with pytest.raises(MissingData, match=f"imagenet/{name} is not there"):
        imagenet.read(tmp_path)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_half_extracted_tree_is_refused(tmp_path: Path, part: str) -> None:
    shutil.rmtree(layouts.imagenet(tmp_path) / "images" / part / "n03")
    with pytest.raises(MissingData, match="should have the same folders"):
        imagenet.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("n01 tench\nn02 shark\n", "images/train/n03 is of no class of classnames.txt"),
        ("n01 tench\nn01 shark\n", "line 2"),
        ("n01\n", "line 1"),
    ],
)
def test_malformed_class_names_are_said_to_be_so(tmp_path: Path, content: str, reason: str) -> None:
    (layouts.imagenet(tmp_path) / "classnames.txt").write_text(content)
    with pytest.raises(MissingData, match=reason):
        imagenet.read(tmp_path)


def test_a_shifted_folder_of_no_known_class_makes_its_set_absent(tmp_path: Path) -> None:
    layouts.imagenet(tmp_path)
    layouts.picture(tmp_path / imagenet.RENDITION / "n99/one.jpg")
    assert "n99 is of no class of classnames.txt" in imagenet.read(tmp_path).absent["imagenet_r"]
