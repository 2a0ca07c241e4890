"""The folder that is shipped: what its description promises of it."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tools.samples.alike import alike
from tools.samples.catalogue import PHOTOGRAPHS

FOLDER = Path(__file__).parents[3] / "samples/photos"
WITH_TEXT = {"Apache-2.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "GPL-2.0-or-later"}
WITH_LINK = {"CC-BY-4.0", "CC0-1.0", "public domain"}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (FOLDER / "SOURCES.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def pictures() -> list[Path]:
    return sorted(path for part in ("train", "test", "shifted") for path in (FOLDER / part).rglob("*.*"))


def test_every_picture_is_listed_once(rows: list[dict[str, str]], pictures: list[Path]) -> None:
    assert sorted(row["file"] for row in rows) == sorted(path.relative_to(FOLDER).as_posix() for path in pictures)
    assert all(row["file"].startswith(f"{row['part']}/{row['class']}/") for row in rows)


def test_every_class_has_enough_of_each_part(rows: list[dict[str, str]]) -> None:
    counts = Counter((row["part"], row["class"]) for row in rows)

    for name in PHOTOGRAPHS:
        assert counts["train", name] == 16
        assert 10 <= counts["test", name] <= 14
        assert 12 <= counts["shifted", name] <= 16
    assert {row["class"] for row in rows} == set(PHOTOGRAPHS)


def test_the_licence_of_every_picture_is_named_and_its_text_is_there(rows: list[dict[str, str]]) -> None:
    assert {row["licence"] for row in rows} == WITH_TEXT | WITH_LINK
    assert all(row["author"] and row["package"] and row["path"] for row in rows)
    assert {path.stem for path in (FOLDER / "LICENSES").iterdir()} == WITH_TEXT
    description = (FOLDER / "SOURCES.md").read_text()
    assert all(licence in description for licence in WITH_TEXT | WITH_LINK)


def test_no_original_is_used_twice(rows: list[dict[str, str]]) -> None:
    assert len({(row["package"], row["path"]) for row in rows}) == len(rows)


def test_all_is_small_enough(pictures: list[Path]) -> None:
    assert sum(path.stat().st_size for path in pictures) < 6_000_000
    for path in pictures:
        with Image.open(path) as opened:
            assert max(opened.size) <= 320
            assert min(opened.size) >= 16


def test_no_picture_has_the_bytes_of_another(pictures: list[Path]) -> None:
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in pictures}) == len(pictures)


def test_no_two_pictures_show_the_same(pictures: list[Path]) -> None:
    assert alike(pictures) == []
