"""The input and the output of all label formats: an upload, and its files with their labels."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from saft_core.data.entries import Entry, Rejection
from saft_core.data.folder_names import are_classes
from saft_core.data.limits import DataLimits
from saft_core.data.paths import has_control, visible
from saft_core.errors import InvalidInput

Parts = tuple[str, ...]
"""A path, cut at its slashes."""

_IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".heic", ".heif", ".hif", ".avif"),
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A file with its label; `test` tells that it belongs to the images to test on."""

    label: str
    entry: Entry
    test: bool = False


@dataclass(frozen=True, slots=True)
class Labelled:
    """Files with their labels in the order of upload, and those that have none. No image has been read yet."""

    placed: tuple[Placed, ...]
    rejected: tuple[Rejection, ...]


def placed_by(place: Callable[[Entry], Placed], files: Iterable[Entry]) -> Labelled:
    """The files that `place` gives a label; those for which it raises InvalidInput are rejected."""
    placed: list[Placed] = []
    rejected: list[Rejection] = []
    for entry in files:
        try:
            placed.append(place(entry))
        except InvalidInput as error:
            rejected.append(Rejection.of(entry.path, error))
    return Labelled(tuple(placed), tuple(rejected))


@dataclass(frozen=True)
class Upload:
    """The files of an upload, under normalised paths and without clutter, and what was rejected before."""

    files: tuple[Entry, ...]
    turned_away: tuple[Rejection, ...]
    limits: DataLimits

    @cached_property
    def paths(self) -> list[Parts]:
        """Where each file lies."""
        return [parts_of(entry.path) for entry in self.files]

    @cached_property
    def images(self) -> list[Parts]:
        """Those of `paths` that are named like an image; all of them if none is."""
        return [parts for parts in self.paths if names_image(parts[-1])] or self.paths

    @cached_property
    def wrapper(self) -> Parts:
        """The folders around everything."""
        return wrapper_of(self.images)

    @cached_property
    def folders(self) -> list[str]:
        """The folders with images right below the wrapper."""
        depth = len(self.wrapper)
        return sorted({parts[depth] for parts in self.images if len(parts) > depth + 1})

    @property
    def is_sorted(self) -> bool:
        """Whether the folders are classes without a doubt, so that no labels file is asked."""
        return are_classes(self.folders)


def names_image(path: str) -> bool:
    """Whether a file's name promises an image. Only the bytes tell whether it is one."""
    return path.lower().endswith(_IMAGE_ENDINGS)


def parts_of(path: str) -> Parts:
    """A path's folders and its name."""
    return tuple(path.split("/"))


def wrapper_of(images: Sequence[Parts], depth: int = 0) -> Parts:
    """The folders around the class folders, of images that all lie in the same `depth` folders.

    A folder is one if every image lies below it and looking through it can only help: no image lies directly in it, or
    at least two of its folders have some. A stray text file beside it does not count as long as there are images.
    """
    while images and all(len(parts) > depth + 1 and parts[depth] == images[0][depth] for parts in images):
        beneath = {parts[depth + 1] for parts in images if len(parts) > depth + 2}
        loose = any(len(parts) == depth + 2 for parts in images)
        if not beneath or (loose and len(beneath) < 2):
            break
        depth += 1
    return images[0][:depth] if images else ()


def checked_label(text: str, limits: DataLimits, what: str = "label") -> str:
    """The label that a text stands for, in NFC. Raises InvalidInput if there is nothing to see in it, or too much."""
    label = unicodedata.normalize("NFC", visible(text))
    if all(unicodedata.category(character)[0] in "CZ" for character in label):
        raise InvalidInput(f"The {what} is blank. Name it after its class.", code="empty_label")
    if has_control(label):
        raise InvalidInput(f"The {what} has control characters in it. Rename it.", code="control_characters")
    if len(label) > limits.max_label_characters:
        raise InvalidInput(
            f"The {what} has {len(label)} characters; a label has at most {limits.max_label_characters}"
            " (max_label_characters). Shorten it.",
            code="label_too_long",
        )
    return label
