from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.clip.class_names import class_name, same_class


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("hot_dog", "hot dog"),
        (" hot  dog_", "hot dog"),
        ("AnnualCrop", "Annual Crop"),
        ("HerbaceousVegetation", "Herbaceous Vegetation"),
        ("annualCrop", "annual Crop"),
        ("СиняяКошка", "Синяя Кошка"),
        ("02_AnnualCrop", "Annual Crop"),
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("3) cat", "cat"),
        ("00 cat", "cat"),
        ("golden-retriever", "golden retriever"),
        ("R&amp;D", "R&D"),
        ("ｃａｔ", "cat"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("赤い　車", "赤い 車"),
        ("猫", "猫"),
    ],
)
def test_folder_names_become_words(label: str, name: str) -> None:
    assert class_name(label) == name


@pytest.mark.parametrize(
    "label",
    [
        "t-shirt", "x-ray", "jack-o-lantern", "McDonald", "iPhone", "LaTeX", "USA", "2 euro", "50 euro", "3.5 inch",
        "0.5 litre", "7up", "747", "3D printer", "x2", "F-16", "Cat", "naïve", "x²",
    ],
)  # fmt: skip
def test_what_says_something_stays(label: str) -> None:
    assert class_name(label) == label


@pytest.mark.parametrize("label", ["", " ", "_", "__ _"])
def test_nothing_stands_for_nothing(label: str) -> None:
    assert class_name(label) == ""


@given(st.text(max_size=30))
def test_whatever_the_label_there_are_no_double_blanks_and_no_underscores(label: str) -> None:
    name = class_name(label)
    assert name == " ".join(name.split())
    assert "_" not in name


def test_names_that_read_alike_are_one_class() -> None:
    known = ["hot_dog", "Cat", "t-shirt"]
    names = ["hot dog", "01_HotDog", "cat", "t shirt", "dog"]
    assert same_class(names, known) == {
        "hot dog": "hot_dog", "01_HotDog": "hot_dog", "cat": "Cat", "t shirt": "t shirt", "dog": "dog",
    }  # fmt: skip
