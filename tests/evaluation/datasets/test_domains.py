import hashlib
from pathlib import Path

import pytest

from evaluation.datasets import domains
from evaluation.datasets.dataset import DataSet, MissingData
from tests.fixtures import layouts

STYLES = {"photo": {"dog": 4, "cat": 5}, "sketch": {"cat": 2, "dog": 1}, "art": {"cat": 1}}


def read(tmp_path: Path, style: str) -> DataSet:
    return domains.read(layouts.class_folders(tmp_path / "pacs", STYLES), style)


def test_one_style_trains_and_the_others_are_shifted(tmp_path: Path) -> None:
    found = read(tmp_path, "photo")
    assert (found.name, found.labels, found.tested.name) == ("pacs:photo", ("cat", "dog"), "pacs:photo")
    assert [(test.name, test.labels) for test in found.shifted] == [("art", ("cat", "dog")), ("sketch", ("cat", "dog"))]
    assert [(one.path, one.label) for one in found.shifted[1].samples] == [
        *[("sketch/cat/0.png", 0), ("sketch/cat/1.png", 0)],
        ("sketch/dog/0.png", 1),
    ]


def test_the_half_of_a_class_with_the_least_hashes_of_paths_trains(tmp_path: Path) -> None:
    found = read(tmp_path, "photo")
    for label, (name, kept) in enumerate((("cat", 3), ("dog", 2))):
        paths = [f"photo/{name}/{number}.png" for number in range(STYLES["photo"][name])]
        ranked = sorted(paths, key=lambda path: hashlib.sha256(path.encode()).hexdigest())
        assert [one.path for one in found.train if one.label == label] == sorted(ranked[:kept])
        assert [one.path for one in found.test if one.label == label] == sorted(ranked[kept:])


def test_the_halves_are_the_same_wherever_the_set_lies(tmp_path: Path) -> None:
    first = read(tmp_path / "here", "photo")
    second = read(tmp_path / "there", "photo")
    assert [one.path for one in first.train] == [one.path for one in second.train]
    assert first.train[0].read() == (tmp_path / "here/pacs" / first.train[0].path).read_bytes()


def test_folders_without_classes_are_no_styles(tmp_path: Path) -> None:
    (tmp_path / "pacs/splits").mkdir(parents=True)
    (tmp_path / "pacs/splits/train.txt").write_text("photo/cat/0.png 1\n")
    assert [test.name for test in read(tmp_path, "photo").shifted] == ["art", "sketch"]
    assert domains.styles(tmp_path / "pacs") == ["art", "photo", "sketch"]


@pytest.mark.parametrize(
    ("style", "reason"),
    [
        ("cartoon", "pacs/cartoon is not there.*art, photo, sketch"),
        ("art", "art/cat/0.png is alone in its class"),
        ("../pacs/photo", "is not there"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, style: str, reason: str) -> None:
    with pytest.raises(MissingData, match=reason):
        read(tmp_path, style)


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="pacs is not there"):
        domains.read(tmp_path / "pacs", "photo")


def test_a_class_that_one_style_alone_has_is_refused(tmp_path: Path) -> None:
    layouts.picture(tmp_path / "pacs/art/horse/0.png")
    with pytest.raises(MissingData, match="art/horse is of no class that has images to train on"):
        read(tmp_path, "photo")
