"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from evaluation.datasets import aircraft, coop, domains, folders, imagenet, samples
from evaluation.datasets.dataset import DataSet, MissingData
from evaluation.datasets.prompts import PROMPTS

NAMES = tuple(PROMPTS)
"""Those of the paper, in the order of its tables."""
BUNDLED = samples.NAME
"""What needs nothing on disk but the project."""

_READERS: dict[str, Callable[[Path], DataSet]] = {
    imagenet.NAME: imagenet.read,
    aircraft.NAME: aircraft.read,
    **{name: partial(coop.read, name=name) for name in coop.PLACES},
}


def find(name: str, data: Path | None) -> DataSet:
    """The data set `name`, read from `data`, the folder of all of them.

    name: one of NAMES; BUNDLED; the name of a folder in `data` with a style of it, as `pacs:photo`; or of any other
    folder in it that has `train` and `test`.

    Raises MissingData naming what was looked for.
    """
    if name == BUNDLED:
        return samples.read()
    if data is None:
        raise MissingData(f"No folder was named that could hold {name}. Say with --data where data sets lie.")
    if name in _READERS:
        return _READERS[name](data)
    folder, _, style = name.partition(":")
    if style:
        return domains.read(data / folder, style)
    if not (data / name / "train").is_dir():
        raise MissingData(
            f"{data / name / 'train'} is not there. The paper's data sets are called {', '.join(NAMES)}; any other name"
            f" is that of a folder with train and test, or of a folder of styles with one of them, as '{name}:photo'."
        )
    return folders.read(data / name, name)
