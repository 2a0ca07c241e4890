from pathlib import Path

import pytest

from evaluation.datasets.dataset import MissingData
from evaluation.datasets.registry import BUNDLED, NAMES, find
from tests.fixtures import layouts


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    layouts.imagenet(root)
    layouts.aircraft(root)
    for name in layouts.COOP:
        layouts.coop(root, name)
    layouts.class_folders(root / "mine", {"train": {"a": 1}, "test": {"a": 1}})
    layouts.class_folders(root / "styles", {"photo": {"a": 2}, "sketch": {"a": 1}})
    return root


def test_the_papers_sets_are_in_the_order_of_its_tables() -> None:
    assert " ".join(NAMES) == (
        "imagenet caltech101 oxford_pets stanford_cars oxford_flowers food101 fgvc_aircraft sun397 dtd eurosat ucf101"
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_of_the_papers_sets_is_found_under_its_name(data: Path, name: str) -> None:
    found = find(name, data)
    assert found.name == found.tested.name == name
    assert found.tested.samples is found.test


def test_prompts_are_those_of_the_papers_table_7(data: Path) -> None:
    assert {name: find(name, data).template for name in NAMES} == {
        "imagenet": "a photo of a {}.",
        "caltech101": "a photo of a {}.",
        "oxford_pets": "a photo of a {}, a type of pet.",
        "stanford_cars": "a photo of a {}.",
        "oxford_flowers": "a photo of a {}, a type of flower.",
        "food101": "a photo of a {}, a type of food.",
        "fgvc_aircraft": "a photo of a {}, a type of aircraft.",
        "sun397": "a photo of a {}.",
        "dtd": "{} texture.",
        "eurosat": "a centered satellite photo of {}.",
        "ucf101": "a photo of a person doing {}.",
    }


def test_any_other_folder_is_found_under_its_name_and_a_style_behind_a_colon(data: Path) -> None:
    assert find("mine", data).name == "mine"
    assert find("styles:photo", data).name == "styles:photo"


def test_the_bundled_pictures_need_no_folder() -> None:
    assert find(BUNDLED, None).name == BUNDLED


@pytest.mark.parametrize("name", [*NAMES, "mine", "styles:photo"])
def test_what_is_not_there_is_missing_with_the_path_that_was_looked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingData, match=str(tmp_path)):
        find(name, tmp_path)


def test_without_a_folder_of_data_sets_only_the_bundled_one_is_known() -> None:
    with pytest.raises(MissingData, match="--data"):
        find("imagenet", None)


def test_a_set_of_styles_without_a_style_is_told_how_to_name_one(data: Path) -> None:
    with pytest.raises(MissingData, match="'styles:photo'"):
        find("styles", data)


def test_no_pickle_of_anyones_is_read(data: Path, tmp_path: Path) -> None:
    split = data / "eurosat/split_fewshot"
    split.mkdir()
    for file in (split / "shot_16-seed_1.pkl", data / "imagenet/preprocessed.pkl"):
        file.write_bytes(b"cbuiltins\nexit\n(tR.")
    assert find("eurosat", data).train
    assert find("imagenet", data).train
