"""An upload to a labelled set of images: each one is read, checked, saved if it is new, and let go.

Labels keep their case, and those that differ only in Unicode form are one label. Which labels the model reads alike is
known where its tokenizer is, so that check comes from the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from saft_core.data.entries import Item, Rejection
from saft_core.data.images import open_to_check
from saft_core.data.intake import CheckImage, Save, take
from saft_core.data.label_formats.upload import Labelled, Placed, names_image
from saft_core.data.layout import lay_out
from saft_core.data.limits import DataLimits
from saft_core.errors import InvalidDataset, InvalidInput

MAX_LISTED_REJECTIONS = 100  # in one error's details
MAX_LISTED_CLASSES = 10  # in one error's message
TOO_SMALL = "class_too_small"
NO_TEST_SET = (
    "The images to test on do not show two classes, so there is no test dataset. Put usable images that are not trained"
    " on into class folders of test."
)

CheckLabels = Callable[[Sequence[str]], None]


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

    The place of a class in `classes` is its label index, and `test` is the set to test on, if the upload has one.
    """

    images: tuple[LabelledImage, ...]
    classes: tuple[tuple[str, int], ...]
    rejected: tuple[Rejection, ...]
    test: LabelledSet | None = None


def collect(
    items: Iterable[Item],
    limits: DataLimits,
    save: Save,
    check_labels: CheckLabels,
    check_image: CheckImage | None = None,
    base: Sequence[LabelledImage] = (),
) -> LabelledSet:
    """Make a labelled set of an upload: of `read_archive`'s items, or of entries, in any of the `label_formats`.

    Every usable image goes through `save(sha256, data, media_type)` once, in the order of upload, and is then let go:
    memory is bounded by one image. Some that are saved are in no set, those of a class that turns out to be too small,
    or all if InvalidDataset is raised; the caller drops them.

    check_image: tells whether an image can be used; one of many uploads may wait there for its turn. base: images of
    another set that are taken already, to which an upload, or none, is added.

    Each file that cannot be used ends in `rejected`, with the codes of `lay_out`, `read_archive` and `decode_image`, or
    `duplicate`, `duplicate_other_class`. Only labels with a usable image or with a file named like an image are
    classes. A class with too few images is left out and named there with code `class_too_small`, as long as two
    classes remain; images to test on that make no set are left out with `no_test_set`. `check_labels` raises
    InvalidInput if labels cannot be the classes of one model; it is asked before any image is read, and again if images
    come to light in folders that seemed to hold none.

    Raises what `check_labels` and `lay_out` raise, and InvalidDataset with code `no_images`, `too_few_classes`,
    `too_few_images`, `too_many_classes` or `too_many_images`, its details `rejected` (the first 100) and
    `rejected_count`.
    """
    items = tuple(items)
    layout = lay_out(items, limits) if items or not base else Labelled((), ())
    check_image = check_image or partial(_decoded, limits=limits)
    collector = _Collector(limits, save, check_image, list(layout.rejected), base=base)
    if len(layout.placed) + len(base) > limits.max_dataset_images:
        raise collector.invalid(
            f"The dataset has {len(layout.placed) + len(base):,} files; at most {limits.max_dataset_images:,} are taken"
            " (max_dataset_images). Leave some out.",
            "too_many_images",
        )
    to_test = [placed for placed in layout.placed if placed.test]
    tester = _Collector(limits, save, check_image, [], known=collector.images)
    for part, of_part in ((collector, [one for one in layout.placed if not one.test]), (tester, to_test)):
        part.expect(of_part, check_labels)
    for placed in layout.placed:
        if not placed.test:
            collector.take(placed)
    found = collector.finish(check_labels)
    return _with_test(found, tester, to_test, check_labels) if to_test else found


def _with_test(
    found: LabelledSet, tester: _Collector, to_test: Sequence[Placed], check_labels: CheckLabels
) -> LabelledSet:
    """The set with the one to test on, if that has enough images; what was not taken of either is in `rejected`."""
    small = {rejection.path for rejection in found.rejected if rejection.code == TOO_SMALL}
    for placed in to_test:
        tester.take(placed, left_out=small)
    test = tester.finish_test(check_labels)
    flaw = () if test else (Rejection("test", "no_test_set", NO_TEST_SET),)
    rejected = sorted((*found.rejected, *tester.rejected, *flaw), key=_by_path)
    return replace(found, rejected=tuple(rejected), test=test)


def _decoded(data: bytes, limits: DataLimits) -> str:
    image = open_to_check(data, limits)
    image.decode()
    return image.media_type


class _Collector:
    """Collects the images of one split, after those of `base`. `known`: images of the other split, by SHA-256."""

    def __init__(
        self,
        limits: DataLimits,
        save: Save,
        check_image: CheckImage,
        rejected: list[Rejection],
        known: Mapping[str, LabelledImage] = MappingProxyType({}),
        base: Sequence[LabelledImage] = (),
    ) -> None:
        self.rejected = rejected
        self.images = {image.sha256: image for image in base}
        self._limits = limits
        self._save = save
        self._check_image = check_image
        self._known = known
        self._expected: set[str] = set()
        self._labels = {image.label for image in base}

    def expect(self, placed: Iterable[Placed], check_labels: CheckLabels) -> None:
        """Check the labels of files that are named like an image: they are classes even without a usable one."""
        self._expected = {one.label for one in placed if names_image(one.entry.path)} | self._labels
        self.check_number(self._expected)
        if self._expected:
            check_labels(sorted(self._expected))

    def take(self, placed: Placed, left_out: Collection[str] = ()) -> None:
        """Save one image, or note why not. Raises InvalidDataset if its class is one too many."""
        entry = placed.entry
        try:
            if placed.label in left_out:
                raise InvalidInput(f"Its class '{placed.label}' was left out.", code=TOO_SMALL)
            taken = take(entry, self._check_image, partial(self._check_new, placed.label))
        except InvalidInput as error:
            self.rejected.append(Rejection.of(entry.path, error))
            return
        self._labels.add(placed.label)
        self.check_number(self._labels)
        self._save(taken.sha256, taken.data, taken.media_type)
        self.images[taken.sha256] = LabelledImage(0, placed.label, entry.path, taken.sha256, taken.media_type)

    def _check_new(self, label: str, sha256: str) -> None:
        """Raise InvalidInput if the same bytes have been taken already."""
        first = self.images.get(sha256) or self._known.get(sha256)
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

    def finish(self, check_labels: CheckLabels) -> LabelledSet:
        """The set, if it is one. Raises InvalidDataset if it is not, and what `check_labels` raises."""
        counts = Counter(dict.fromkeys(self._expected, 0))
        counts.update(image.label for image in self.images.values())
        classes = tuple(sorted(counts.items()))
        kept = self._large_enough(classes)
        if not set(kept) <= self._expected:
            check_labels([name for name, _ in classes])
        for sha256 in [sha256 for sha256, image in self.images.items() if image.label not in kept]:
            del self.images[sha256]
        return self._set(kept)

    def finish_test(self, check_labels: CheckLabels) -> LabelledSet | None:
        """The set to test on, whose classes may be of one image; None if there are not two of them."""
        counts = Counter(image.label for image in self.images.values())
        if len(counts) < 2:
            return None
        if not set(counts) <= self._expected:
            check_labels(sorted(counts))
        return self._set(counts)

    def _set(self, counts: Mapping[str, int]) -> LabelledSet:
        ordered = sorted(self.images.values(), key=lambda image: (image.label, image.path, image.sha256))
        images = tuple(replace(image, position=position) for position, image in enumerate(ordered))
        return LabelledSet(images, tuple(sorted(counts.items())), tuple(sorted(self.rejected, key=_by_path)))

    def _large_enough(self, classes: tuple[tuple[str, int], ...]) -> dict[str, int]:
        """The classes with enough images to learn from. The others are noted as rejected.

        Raises InvalidDataset if there are no images, or fewer than two such classes.
        """
        if not self.images:
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
        least = self._limits.min_class_images
        short = tuple((name, count) for name, count in classes if count < least)
        if len(classes) - len(short) < 2:
            raise self.invalid(
                f"Each class needs {least} usable images or more (min_class_images), and fewer than two classes have"
                f" them. Too few: {_in_words(short)}. Add images.",
                "too_few_images",
                classes=_listed(short),
            )
        for name, count in short:
            reason = (
                f"The class has {count} usable images; it needs {least} (min_class_images). It was left out, with its"
                " images. Add some and upload again to have it."
            )
            self.rejected.append(Rejection(name, TOO_SMALL, reason))
        return {name: count for name, count in classes if count >= least}

    def _first_rejection(self) -> str:
        """One sentence more on the first file that was turned away, if any."""
        return f" '{self.rejected[0].path}' was turned away: {self.rejected[0].reason}" if self.rejected else ""

    def invalid(self, message: str, code: str, **details: Any) -> InvalidDataset:
        """The error to raise, with what has been turned away so far: mostly that is why."""
        listed = [asdict(rejection) for rejection in self.rejected[:MAX_LISTED_REJECTIONS]]
        return InvalidDataset(message, code=code, rejected=listed, rejected_count=len(self.rejected), **details)


def _by_path(rejection: Rejection) -> str:
    return rejection.path


def _listed(classes: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
    """Classes as JSON values."""
    return [{"name": name, "count": count} for name, count in classes]


def _in_words(classes: tuple[tuple[str, int], ...]) -> str:
    """Classes and counts as one line, cut where it gets too long."""
    words = ", ".join(f"'{name}' ({count})" for name, count in classes[:MAX_LISTED_CLASSES])
    more = len(classes) - MAX_LISTED_CLASSES
    return f"{words} and {more} more" if more > 0 else words
