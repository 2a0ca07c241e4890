"""An upload to a clean labelled set: each image checked, named, counted once and saved as it streams by.

Labels keep their case, and those that differ only in Unicode form are one label. Which labels the model reads alike is
known where its tokenizer is, so that check comes from the caller.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from saft_core.data.entries import Item, Rejection
from saft_core.data.images import open_to_check
from saft_core.data.layout import Placed, lay_out, names_image
from saft_core.data.limits import DataLimits
from saft_core.errors import InvalidDataset, InvalidInput

MAX_LISTED_REJECTIONS = 100  # in one error's details
MAX_LISTED_CLASSES = 10  # in one error's message

Save = Callable[[str, bytes], None]
CheckLabels = Callable[[Sequence[str]], None]
CheckImage = Callable[[bytes], str]
"""The media type of an image file that decodes; raises InvalidImage if it does not."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image of a set; `path` is where it lay in the upload, `sha256` the hexadecimal hash of its bytes."""

    position: int
    label: str
    path: str
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A clean set: images by label and path, `classes` as (name, count) by name, and everything not taken.

    The place of a class in `classes` is its label index.
    """

    images: tuple[LabelledImage, ...]
    classes: tuple[tuple[str, int], ...]
    rejected: tuple[Rejection, ...]


def collect(
    items: Iterable[Item],
    limits: DataLimits,
    save: Save,
    check_labels: CheckLabels,
    check_image: CheckImage | None = None,
) -> LabelledSet:
    """Make a labelled set of an upload: of `read_archive`'s items, or of entries named `class/file`.

    Every usable image goes through `save(sha256, data)` once, in the order of upload, and is then let go: memory is
    bounded by one image. If InvalidDataset is raised some images may have been saved already; the caller drops them.

    check_image: tells whether an image can be used; one of many uploads may wait there for its turn.

    Each file that cannot be used ends in `rejected`, with the codes of `lay_out`, `read_archive` and `decode_image`, or
    `duplicate`, `duplicate_other_class`. Only labels with a usable image or with a file named like
    an image are classes. `check_labels` raises InvalidInput if they cannot be the classes of one model; it is asked
    before any image is read, and again if images come to light in folders that seemed to hold none.

    Raises what `check_labels` and `lay_out` raise, and InvalidDataset with code `no_images`, `too_few_classes`,
    `too_few_images`, `too_many_classes` or `too_many_images`, its details `rejected` (the first 100) and
    `rejected_count`.
    """
    layout = lay_out(items, limits)
    collector = _Collector(limits, save, check_image or partial(_decoded, limits=limits), list(layout.rejected))
    if len(layout.placed) > limits.max_dataset_images:
        raise collector.invalid(
            f"The dataset has {len(layout.placed):,} files; at most {limits.max_dataset_images:,} are taken"
            " (max_dataset_images). Leave some out.",
            "too_many_images",
        )
    expected = {placed.label for placed in layout.placed if names_image(placed.entry.path)}
    collector.check_number(expected)
    check_labels(sorted(expected))
    for placed in layout.placed:
        collector.take(placed)
    found = collector.finish(expected)
    if len(found.classes) > len(expected):
        check_labels([name for name, _ in found.classes])
    return found


def _decoded(data: bytes, limits: DataLimits) -> str:
    image = open_to_check(data, limits)
    image.decode()
    return image.media_type


class _Collector:
    """What has been taken so far."""

    def __init__(self, limits: DataLimits, save: Save, check_image: CheckImage, rejected: list[Rejection]) -> None:
        self._limits = limits
        self._save = save
        self._check_image = check_image
        self._rejected = rejected
        self._images: dict[str, LabelledImage] = {}  # by SHA-256
        self._labels: set[str] = set()

    def take(self, placed: Placed) -> None:
        """Save one image, or note why not. Raises InvalidDataset if its class is one too many."""
        entry = placed.entry
        try:
            data = entry.read()
            sha256 = hashlib.sha256(data).hexdigest()
            self._check_new(sha256, placed.label)
            kind = self._check_image(data)
        except InvalidInput as error:
            self._rejected.append(Rejection.of(entry.path, error))
            return
        self._labels.add(placed.label)
        self.check_number(self._labels)
        self._save(sha256, data)
        self._images[sha256] = LabelledImage(0, placed.label, entry.path, sha256, kind)

    def _check_new(self, sha256: str, label: str) -> None:
        """Raise InvalidInput if the same bytes have been taken already."""
        first = self._images.get(sha256)
        if first is None:
            return
        if first.label == label:
            raise InvalidInput(f"It is the same file as '{first.path}', which was taken.", code="duplicate")
        raise InvalidInput(
            f"It is the same file as '{first.path}', which was taken for class '{first.label}'. An image has one label:"
            " remove the wrong one.",
            code="duplicate_other_class",
        )

    def check_number(self, labels: Collection[str]) -> None:
        """Raise InvalidDataset if these are too many classes."""
        if len(labels) > self._limits.max_dataset_classes:
            raise self.invalid(
                f"The dataset has more than {self._limits.max_dataset_classes:,} classes (max_dataset_classes)."
                " Merge or leave out some.",
                "too_many_classes",
            )

    def finish(self, expected: set[str]) -> LabelledSet:
        """The set, if it is one; `expected` are labels that count as classes even without a usable image."""
        counts = Counter(dict.fromkeys(expected, 0))
        counts.update(image.label for image in self._images.values())
        classes = tuple(sorted(counts.items()))
        self._check_enough(classes)
        ordered = sorted(self._images.values(), key=lambda image: (image.label, image.path, image.sha256))
        images = tuple(
            LabelledImage(position, image.label, image.path, image.sha256, image.media_type)
            for position, image in enumerate(ordered)
        )
        return LabelledSet(images, classes, tuple(sorted(self._rejected, key=lambda rejection: rejection.path)))

    def _check_enough(self, classes: tuple[tuple[str, int], ...]) -> None:
        """Raise InvalidDataset if there are too few images or classes to learn from."""
        if not self._images:
            raise self.invalid(
                "No usable image was found. Put the images of each class into a folder of its own, such as cat/1.jpg"
                f" and dog/1.jpg.{self._first_rejection()}",
                "no_images",
            )
        if len(classes) < 2:
            name, count = classes[0]
            raise self.invalid(
                f"Only one class was found, '{name}' ({count} images); it takes two or more. Put the images of each"
                " class into a folder of its own, such as cat/1.jpg and dog/1.jpg.",
                "too_few_classes",
                classes=_listed(classes),
            )
        short = tuple((name, count) for name, count in classes if count < self._limits.min_class_images)
        if short:
            raise self.invalid(
                f"Each class needs {self._limits.min_class_images} usable images or more (min_class_images). Too few:"
                f" {_in_words(short)}. Add images or leave the class out.",
                "too_few_images",
                classes=_listed(short),
            )

    def _first_rejection(self) -> str:
        """One sentence more on the first file that was turned away, if any."""
        return f" '{self._rejected[0].path}' was turned away: {self._rejected[0].reason}" if self._rejected else ""

    def invalid(self, message: str, code: str, **details: Any) -> InvalidDataset:
        """The error to raise, with what has been turned away so far: mostly that is why."""
        listed = [asdict(rejection) for rejection in self._rejected[:MAX_LISTED_REJECTIONS]]
        return InvalidDataset(message, code=code, rejected=listed, rejected_count=len(self._rejected), **details)


def _listed(classes: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
    """Classes as JSON values."""
    return [{"name": name, "count": count} for name, count in classes]


def _in_words(classes: tuple[tuple[str, int], ...]) -> str:
    """Classes and counts as one line, cut where it gets too long."""
    words = ", ".join(f"'{name}' ({count})" for name, count in classes[:MAX_LISTED_CLASSES])
    more = len(classes) - MAX_LISTED_CLASSES
    return f"{words} and {more} more" if more > 0 else words
