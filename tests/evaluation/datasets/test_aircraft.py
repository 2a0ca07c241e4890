from pathlib import Path

import pytest

from evaluation.datasets import aircraft
from evaluation.datasets.dataset import MissingData
from tests.fixtures import layouts


def test_labels_are_in_the_order_of_variants_txt(tmp_path: Path) -> None:
    layouts.aircraft(tmp_path)
    assert aircraft.read(tmp_path).labels == ("An-12", "707-320", "Beechcraft 1900")


def test_images_are_in_the_order_of_their_files(tmp_path: Path) -> None:
    layouts.aircraft(tmp_path)
    found = aircraft.read(tmp_path)
    for first, samples in ((1000, found.train), (2000, found.val), (3000, found.test)):
        assert [(one.path, one.label) for one in samples] == [(f"{first + n:07}.jpg", n % 3) for n in range(9)]
    assert found.train[4].read() == (tmp_path / "fgvc_aircraft/images/0001004.jpg").read_bytes()


@pytest.mark.parametrize("name", ["variants.txt", "images_variant_val.txt", "images/0003002.jpg"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (layouts.aircraft(tmp_path) / name).unlink()
    with pytest.raises(MissingData, match=f"{name} is not there"):
        aircraft.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("images_variant_test.txt", "0003000 Concorde\n", "line 1: 'Concorde' is not in variants.txt"),
        ("images_variant_test.txt", "0003000\n", "line 1: '' is not in variants.txt"),
        ("images_variant_test.txt", "../../0003000 An-12\n", "no path below"),
        ("images_variant_test.txt", "0001000 An-12\n", "under train and under test"),
        ("images_variant_train.txt", "0001000 An-12\n", "no image of 707-320"),
        ("variants.txt", "An-12\nAn-12\n", "each variant once"),
        ("variants.txt", "", "each variant once"),
        ("variants.txt", "An-12\x80\n", "not a text in UTF-8"),
    ],
)
def test_a_malformed_file_is_said_to_be_so(tmp_path: Path, name: str, line: str, reason: str) -> None:
    (layouts.aircraft(tmp_path) / name).write_text(line, encoding="latin-1")
    with pytest.raises(MissingData, match=reason):
        aircraft.read(tmp_path)
