"""The nine sets whose division CoOp's authors published as JSON: `split_zhou_<Name>.json` (arXiv 2109.01134)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from evaluation.datasets.dataset import DataSet, MissingData
from evaluation.datasets.files import INSTRUCTIONS, listed, refuse_overlap
from evaluation.datasets.prompts import PROMPTS
from saft_core.data.samples import Sample

Row = tuple[str, int, str]
"""Path of an image, its label and the name of its class."""


@dataclass(frozen=True)
class Place:
    """Where a set lies: its folder, the file in it that divides it, and the folder in it that paths are relative to."""

    folder: str
    file: str
    images: str


PLACES = {
    "caltech101": Place("caltech-101", "split_zhou_Caltech101.json", "101_ObjectCategories"),
    "oxford_pets": Place("oxford_pets", "split_zhou_OxfordPets.json", "images"),
    "stanford_cars": Place("stanford_cars", "split_zhou_StanfordCars.json", "."),
    "oxford_flowers": Place("oxford_flowers", "split_zhou_OxfordFlowers.json", "jpg"),
    "food101": Place("food-101", "split_zhou_Food101.json", "images"),
    "sun397": Place("sun397", "split_zhou_SUN397.json", "SUN397"),
    "dtd": Place("dtd", "split_zhou_DescribableTextures.json", "images"),
    "eurosat": Place("eurosat", "split_zhou_EuroSAT.json", "2750"),
    "ucf101": Place("ucf101", "split_zhou_UCF101.json", "UCF-101-midframes"),
}


class _Split(msgspec.Struct):
    train: list[Row]
    val: list[Row]
    test: list[Row]


def read(data: Path, name: str) -> DataSet:
    """The set `name` of PLACES, from the folder of all data sets. Raises MissingData.

    Images stay in the order of the file, on which the draw of shots depends.
    """
    place = PLACES[name]
    file = data / place.folder / place.file
    root = data / place.folder / place.images
    split = _decoded(file)
    labels = _labels(split, file)
    train, val, test = (_samples(rows, root, file) for rows in (split.train, split.val, split.test))
    refuse_overlap(file, train=train, val=val, test=test)
    return DataSet(name, labels, PROMPTS[name], train, val, test)


def _decoded(file: Path) -> _Split:
    try:
        # Not strict: a label may be a number written as a text, as it may be for CoOp.
        return msgspec.json.decode(file.read_bytes(), type=_Split, strict=False)
    except OSError:
        raise MissingData(f"{file} is not there, or cannot be read. {INSTRUCTIONS}") from None
    except msgspec.MsgspecError as error:
        raise MissingData(
            f'{file} is not what CoOp publishes, "train", "val" and "test" with lists of [path, label, class name]:'
            f" {error}. Get it anew."
        ) from None


def _labels(split: _Split, file: Path) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for _, label, name in [*split.train, *split.val, *split.test]:
        known = names.setdefault(label, name)
        if known != name:
            raise MissingData(f"{file} calls label {label} both {known!r} and {name!r}. Get it anew.")
    trained = {label for _, label, _ in split.train}
    for label in range(len(names)):
        if label not in trained:
            raise MissingData(
                f"{file} has no image of label {label} to train on; labels should count up from 0. Get it anew."
            )
    if not names:
        raise MissingData(f"{file} lists no image. Get it anew.")
    return tuple(names[label] for label in range(len(names)))


def _samples(rows: list[Row], root: Path, file: Path) -> list[Sample]:
    return [listed(root, path, label, file) for path, label, _ in rows]
