"""Where each file of an upload belongs: its class folder, or nowhere.

The rule is `class/file`. Folders that wrap the whole upload are looked through: `photos/cat/1.jpg` is of class `cat` if
everything lies in `photos`. A label is its folder's name in NFC, without blanks around it and without characters that
cannot be seen; underscores stay.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from saft_core.data.entries import Entry, Folder, Item, Rejection
from saft_core.data.foreign import Parts, refuse_foreign_layout
from saft_core.data.limits import DataLimits
from saft_core.data.paths import is_clutter, normalise_path, visible
from saft_core.errors import InvalidInput

_IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".heic", ".heif", ".hif", ".avif"),
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A file that lies in a class folder."""

    label: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Layout:
    """Files with their labels in the order of upload, and what has no place. Nothing has been read yet."""

    placed: tuple[Placed, ...]
    rejected: tuple[Rejection, ...]


def lay_out(items: Iterable[Item], limits: DataLimits) -> Layout:
    """Sort an upload into class folders. A file that does not fit is rejected with a reason.

    Codes: those of `normalise_path`, and `no_class_folder`, `nested_folder`, `empty_label`, `label_too_long`,
    `empty_folder`.

    Raises InvalidDataset with code `unsupported_layout` if the folders are not those of classes.
    """
    files, folders, rejected = _safe(items)
    paths = [_parts(entry.path) for entry in files]
    images = [parts for parts in paths if names_image(parts[-1])] or paths
    wrapper = _wrapper(images)
    refuse_foreign_layout(paths, images, wrapper)
    placed: list[Placed] = []
    for entry in files:
        try:
            placed.append(Placed(_label(_parts(entry.path), wrapper, limits), entry))
        except InvalidInput as error:
            rejected.append(Rejection.of(entry.path, error))
    taken = [entry.path for entry in files] + [rejection.path for rejection in rejected]
    return Layout(tuple(placed), (*rejected, *_empty(folders, taken)))


def names_image(path: str) -> bool:
    """Whether a file's name promises an image. Only the bytes tell whether it is one."""
    return path.lower().endswith(_IMAGE_ENDINGS)


def _safe(items: Iterable[Item]) -> tuple[list[Entry], list[Folder], list[Rejection]]:
    """Files and folders under normalised paths, and the rest; clutter is dropped without a word."""
    files: list[Entry] = []
    folders: list[Folder] = []
    rejected: list[Rejection] = []
    for item in items:
        if isinstance(item, Rejection):
            rejected.append(item)
        elif not is_clutter(item.path):
            try:
                path = normalise_path(item.path)
            except InvalidInput as error:
                rejected.append(Rejection.of(item.path, error))
                continue
            if isinstance(item, Folder):
                folders.append(Folder(path))
            else:
                files.append(Entry(path, item.read))
    return files, folders, rejected


def _wrapper(images: list[Parts]) -> Parts:
    """The folders around the class folders.

    A folder is one if every image lies below it and looking through it can only help: no image lies directly in it, or
    at least two of its folders have some. A stray text file beside it does not count as long as there are images.
    """
    depth = 0
    while images and all(len(parts) > depth + 1 and parts[depth] == images[0][depth] for parts in images):
        beneath = {parts[depth + 1] for parts in images if len(parts) > depth + 2}
        loose = any(len(parts) == depth + 2 for parts in images)
        if not beneath or (loose and len(beneath) < 2):
            break
        depth += 1
    return images[0][:depth] if images else ()


def _label(parts: Parts, wrapper: Parts, limits: DataLimits) -> str:
    """The label of the file at `parts`. Raises InvalidInput if it does not lie at wrapper/label/file."""
    inner = parts[len(wrapper) :]
    if parts[: len(wrapper)] != wrapper or len(inner) < 2:
        raise InvalidInput(
            f"The file lies in no class folder. Put it into one named after its class: cat/{parts[-1]}.",
            code="no_class_folder",
        )
    if len(inner) > 2:
        raise InvalidInput(
            f"The file lies {len(inner) - 1} folders deep, in '{'/'.join(inner[:-1])}'. Put it directly into its"
            " class folder; upload training and test images as two datasets.",
            code="nested_folder",
        )
    return _checked_label(inner[0], limits)


def _checked_label(folder: str, limits: DataLimits) -> str:
    """The label that a folder's name stands for. Raises InvalidInput if there is nothing to see in it, or too much."""
    label = unicodedata.normalize("NFC", visible(folder))
    if all(unicodedata.category(character)[0] in "CZ" for character in label):
        raise InvalidInput("The folder's name is blank. Name it after its class.", code="empty_label")
    if len(label) > limits.max_label_characters:
        raise InvalidInput(
            f"The folder's name has {len(label)} characters; a label has at most {limits.max_label_characters}"
            " (max_label_characters). Shorten it.",
            code="label_too_long",
        )
    return label


def _empty(folders: list[Folder], taken: list[str]) -> list[Rejection]:
    """A rejection for each folder that holds neither a file nor another folder."""
    paths = {folder.path for folder in folders}
    inhabited = {ancestor for path in (*taken, *paths) for ancestor in _ancestors(path)}
    reason = "The folder is empty. Put images of its class into it, or leave it out."
    return [Rejection(path, "empty_folder", reason) for path in sorted(paths - inhabited)]


def _ancestors(path: str) -> list[str]:
    """All the folders that `path` lies in."""
    return list(accumulate(_parts(path)[:-1], lambda folder, name: f"{folder}/{name}"))


def _parts(path: str) -> Parts:
    return tuple(path.split("/"))
