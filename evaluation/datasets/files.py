"""What a data set has on disk, always in the order of names; what is missing or malformed is said with its path."""

from __future__ import annotations

from collections.abc import Sequence
from os import scandir
from os.path import isfile
from pathlib import Path, PureWindowsPath

from evaluation.datasets.dataset import MissingData, image
from saft_core.data.label_formats.upload import names_image
from saft_core.data.paths import is_clutter, printable
from saft_core.data.samples import Sample

INSTRUCTIONS = "Put it there as CoOp's DATASETS.md says."
CLASS_FOLDERS = "It should hold a folder of images for each class."


def folders(root: Path, advice: str = INSTRUCTIONS) -> list[str]:
    """Names of the folders in `root`, sorted; hidden ones and files are passed over. Raises MissingData."""
    return sorted(name for name, is_folder in _entries(root, advice) if is_folder)


def images(root: Path) -> list[str]:
    """Names of the image files directly in `root`, sorted. Raises MissingData where there is no such folder."""
    return sorted(name for name, is_folder in _entries(root, CLASS_FOLDERS) if not is_folder and names_image(name))


def class_images(root: Path, within: str, label: int) -> list[Sample]:
    """The images of one class, which lie in the folder `within` of `root`. Raises MissingData where there is none."""
    names = images(root / within)
    if not names:
        raise MissingData(f"{root / within} holds no image. Put the images of its class there, or remove the folder.")
    return [image(root, f"{within}/{name}", label) for name in names]


def part(root: Path, within: str, labels: Sequence[str]) -> list[Sample]:
    """The images of `within`, which has a folder a class, some or all of `labels`. Raises MissingData."""
    found = folders(root / within, CLASS_FOLDERS)
    if not found:
        raise MissingData(f"{root / within} holds no folder. {CLASS_FOLDERS}")
    positions = {label: position for position, label in enumerate(labels)}
    unknown = [name for name in found if name not in positions]
    if unknown:
        raise MissingData(
            f"{root / within / unknown[0]} is of no class that has images to train on. Remove it, or add such images."
        )
    return [one for name in found for one in class_images(root, f"{within}/{name}", positions[name])]


def lines(file: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, each with its number from 1. Raises MissingData."""
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MissingData(f"{file} is not a text in UTF-8: {error}. Get it anew.") from None
    except OSError:
        raise MissingData(f"{file} is not there, or cannot be read. {INSTRUCTIONS}") from None
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def listed(root: Path, path: str, label: int, file: Path) -> Sample:
    """The image that `file` names, by its path below `root`.

    Raises MissingData where the path leads out of `root` (symbolic links on this disk may, and are followed), or
    where no file is.
    """
    parsed = PureWindowsPath(path)  # which knows drives and both separators, on every system
    if parsed.anchor or not parsed.parts or ".." in parsed.parts:
        raise MissingData(f"{file} names {printable(path)!r}, which is no path below {root}. Get the file anew.")
    if not isfile(root / path):  # false of what is no name on this system, too
        raise MissingData(f"{root / path} is not there, though {file} names it. Extract the images anew.")
    return image(root, path, label)


def refuse_overlap(file: Path, **parts: Sequence[Sample]) -> None:
    """Raise MissingData where an image is in two parts: what is tested would have been trained on."""
    seen: dict[str, str] = {}
    for name, samples in parts.items():
        for path in {one.path for one in samples}:
            other = seen.setdefault(path, name)
            if other != name:
                raise MissingData(f"{file} has {printable(path)!r} under {other} and under {name}. Get the file anew.")


def _entries(root: Path, advice: str) -> list[tuple[str, bool]]:
    try:
        with scandir(root) as found:
            return [(one.name, one.is_dir()) for one in found if not is_clutter(one.name)]
    except OSError:
        raise MissingData(f"{root} is not there, or is no folder that can be read. {advice}") from None
