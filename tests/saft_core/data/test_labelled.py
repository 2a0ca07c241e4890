from __future__ import annotations

import hashlib
import io
import json
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from saft_core.data.archive import read_archive
from saft_core.data.entries import Entry, Item
from saft_core.data.labelled import MAX_LISTED_REJECTIONS, LabelledImage, LabelledSet, collect
from saft_core.data.limits import DataLimits
from saft_core.errors import InvalidArchive, InvalidDataset, InvalidInput
from saft_core.settings import Limits
from tests.saft_core.data.uploads import LIMITS, encoded, entry, picture, png, zipped


class Saved(dict[str, bytes]):
    """Blob storage that remembers the order and notices a second save of the same image."""

    def __call__(self, sha256: str, data: bytes, media_type: str) -> None:
        assert sha256 not in self
        assert sha256 == hashlib.sha256(data).hexdigest()
        self[sha256] = data


def two_classes(extra: dict[str, bytes] | None = None) -> list[Item]:
    """Two images of a cat and two of a dog, and whatever else."""
    files = {"cat/1.png": png(1), "cat/2.png": png(2), "dog/1.png": png(3), "dog/2.png": png(4)}
    return [entry(path, data) for path, data in (files | (extra or {})).items()]


def collected(items: Iterable[Item], limits: DataLimits = LIMITS) -> LabelledSet:
    return collect(items, limits, Saved(), ignore)


def rejections(extra: dict[str, bytes]) -> dict[str, str]:
    found = collected(two_classes(extra))
    assert found.classes == (("cat", 2), ("dog", 2))
    return {rejection.path: rejection.code for rejection in found.rejected}


def dataset_error(items: Iterable[Item], limits: DataLimits = LIMITS) -> InvalidDataset:
    with pytest.raises(InvalidDataset) as caught:
        collected(items, limits)
    assert caught.value.message.endswith(".")
    json.dumps(caught.value.details)
    return caught.value


# --- what is taken ---


def test_a_clean_upload() -> None:
    saved = Saved()
    found = collect(two_classes(), LIMITS, saved, ignore)
    assert found.classes == (("cat", 2), ("dog", 2))
    assert found.rejected == ()
    assert [(image.position, image.label, image.path) for image in found.images] == [
        (0, "cat", "cat/1.png"),
        (1, "cat", "cat/2.png"),
        (2, "dog", "dog/1.png"),
        (3, "dog", "dog/2.png"),
    ]
    assert list(saved.values()) == [png(1), png(2), png(3), png(4)]
    assert [image.sha256 for image in found.images] == list(saved)
    assert {image.media_type for image in found.images} == {"image/png"}


def test_a_zip_with_a_wrapper_clutter_and_an_empty_folder() -> None:
    files = {"pets/": b"", "pets/bird/": b"", "__MACOSX/pets/._cat": b"x", "pets/.DS_Store": b"x"}
    files |= {f"pets/{path}": png(number) for number, path in enumerate(["cat/1.png", "cat/2", "dog/1.png", "dog/2"])}
    found = collected(read_archive(io.BytesIO(zipped(files)), LIMITS))
    assert found.classes == (("cat", 2), ("dog", 2))
    assert [image.path for image in found.images] == ["pets/cat/1.png", "pets/cat/2", "pets/dog/1.png", "pets/dog/2"]
    assert [(rejection.path, rejection.code) for rejection in found.rejected] == [("pets/bird", "empty_folder")]


def test_the_order_of_upload_does_not_matter() -> None:
    assert collected(two_classes()) == collected(reversed(two_classes()))


def test_the_media_type_is_that_of_the_bytes() -> None:
    extra = {"cat/3.png": encoded(picture(), "JPEG"), "cat/4.txt": encoded(picture(), "WEBP")}
    found = collected(two_classes(extra))
    assert {image.path: image.media_type for image in found.images if image.path in extra} == {
        "cat/3.png": "image/jpeg",
        "cat/4.txt": "image/webp",
    }


def test_forms_of_a_label_that_look_the_same_are_one_label_and_underscores_stay() -> None:
    files = {
        "été/1.png": png(1),
        "\u200be\u0301te\u0301/2.png": png(2),
        " hot_dog /1.png": png(3),
        "hot_dog/2.png": png(4),
    }
    found = collected(entry(path, data) for path, data in files.items())
    assert found.classes == (("hot_dog", 2), ("été", 2))


def test_files_of_the_same_name_are_different_images() -> None:
    files = [("cat/image.png", 1), ("cat/image.png", 2), ("dog/image.png", 3), ("dog/image.png", 4)]
    found = collected(entry(path, png(number)) for path, number in files)
    assert found.classes == (("cat", 2), ("dog", 2))


# --- what is rejected ---


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        ("cat/3.png", b"", "empty_file"),
        ("cat/3.png", b"not an image", "not_an_image"),
        ("cat/3.heic", b"\0\0\0\x10ftypheic\0\0\0\0", "damaged_image"),
        ("cat/3.jxl", b"\xff\x0a" + bytes(20), "unsupported_format"),
        ("cat/3.png", png(9)[:-20], "damaged_image"),
        ("cat/3.png", encoded(picture(size=(1, 5000))), "too_elongated"),
        ("readme.txt", b"hello", "no_class_folder"),
        ("3.png", png(9), "no_class_folder"),
        ("cat/deep/3.png", png(9), "nested_folder"),
        ("x" * 101 + "/3.png", png(9), "label_too_long"),
        ("../3.png", png(9), "unsafe_path"),
        ("cat\\..\\3.png", png(9), "unsafe_path"),
        ("ca\x07t/3.png", png(9), "control_characters"),
        ("notes/todo.txt", b"hello", "not_an_image"),
    ],
)
def test_one_bad_file_is_rejected_and_the_rest_is_taken(path: str, data: bytes, code: str) -> None:
    assert list(rejections({path: data}).values()) == [code]


def test_limits_of_one_image_reject_that_image() -> None:
    items = two_classes({"cat/large.png": encoded(picture(size=(20, 20)))})
    found = collected(items, replace(LIMITS, max_image_pixels=399))
    assert [rejection.code for rejection in found.rejected] == ["too_many_pixels"]
    found = collected(items, replace(LIMITS, max_image_bytes=len(items[-1].read()) - 1))  # type: ignore[union-attr]
    assert [rejection.code for rejection in found.rejected] == ["image_too_large"]


def test_a_duplicate_in_its_class_names_the_first() -> None:
    found = collected(two_classes({"cat/copy.png": png(1)}))
    (rejection,) = found.rejected
    assert (rejection.path, rejection.code) == ("cat/copy.png", "duplicate")
    assert "'cat/1.png'" in rejection.reason


def test_a_duplicate_in_another_class_names_both() -> None:
    found = collected(two_classes({"dog/copy.png": png(1)}))
    (rejection,) = found.rejected
    assert (rejection.path, rejection.code) == ("dog/copy.png", "duplicate_other_class")
    assert "'cat/1.png'" in rejection.reason
    assert "'cat'" in rejection.reason


def test_the_same_damaged_file_twice_is_rejected_twice() -> None:
    assert rejections({"cat/3.png": b"x", "cat/4.png": b"x"}) == {
        "cat/3.png": "not_an_image",
        "cat/4.png": "not_an_image",
    }


def test_members_that_the_archive_turns_away_are_rejected() -> None:
    files = {"cat/1.png": png(1), "cat/2.png": png(2), "dog/1.png": png(3), "dog/2.png": png(4), "../5.png": png(5)}
    data = bytearray(zipped(files | {"cat/3.png": png(6)}))
    data[data.index(b"cat/3.png") + len("cat/3.png") + 5] ^= 0xFF  # its packed bytes
    found = collected(read_archive(io.BytesIO(data), LIMITS))
    assert {rejection.path: rejection.code for rejection in found.rejected} == {
        "../5.png": "unsafe_path",
        "cat/3.png": "damaged_member",
    }


def test_a_failing_save_is_not_mistaken_for_a_bad_image() -> None:
    def full(sha256: str, data: bytes, media_type: str) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        collect(two_classes(), LIMITS, full, ignore)


# --- what is added to a set ---


def as_base(found: LabelledSet, **labels: str) -> list[LabelledImage]:
    """The images of a set, some with other labels, by path."""
    return [replace(image, label=labels.get(image.path, image.label)) for image in found.images]


def test_nothing_added_to_a_set_is_that_set() -> None:
    found = collected(two_classes())
    assert collect([], LIMITS, Saved(), ignore, base=as_base(found)) == found


def test_images_are_added_to_a_set_and_ordered_with_it() -> None:
    base, saved = as_base(collected(two_classes())), Saved()
    added = [
        entry("cat/0.png", png(7)),
        entry("cat/1.png", png(1)),
        entry("ant/x.png", png(2)),
        entry("bee/1.png", png(8)),
    ]
    found = collect([*added, entry("bee/2.png", png(9))], LIMITS, saved, ignore, base=base)
    assert found.classes == (("bee", 2), ("cat", 3), ("dog", 2))
    assert [(image.position, image.path) for image in found.images] == list(
        enumerate(["bee/1.png", "bee/2.png", "cat/0.png", "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"])
    )
    assert {each.path: each.code for each in found.rejected} == {
        "ant": "class_too_small",
        "ant/x.png": "duplicate_other_class",
        "cat/1.png": "duplicate",
    }
    assert list(saved) == [hashlib.sha256(png(number)).hexdigest() for number in (7, 8, 9)]


def test_the_rules_of_an_upload_hold_for_a_set_with_other_labels() -> None:
    base = as_base(collected(two_classes({"cat/3.png": png(5)})), **{"dog/1.png": "cat"})
    with pytest.raises(InvalidDataset) as caught:
        collect([], LIMITS, Saved(), ignore, base=base)
    assert caught.value.error_code == "too_few_images"
    asked: list[Sequence[str]] = []
    collect([entry("yak/1.png", png(8)), entry("yak/2.png", png(9))], LIMITS, Saved(), asked.append, base=base)
    assert asked == [["cat", "dog", "yak"]]
    for limits, code in (
        ({"max_dataset_images": 5}, "too_many_images"),
        ({"max_dataset_classes": 2}, "too_many_classes"),
    ):
        with pytest.raises(InvalidDataset) as caught:
            collect([entry("yak/1.png", png(8))], replace(LIMITS, **limits), Saved(), ignore, base=base)
        assert caught.value.error_code == code


# --- what is to be tested on ---


def in_splits(**more: bytes) -> list[Item]:
    """Two images of each class to train on, one to test on."""
    files = {f"train/{item.path}": item.read() for item in two_classes() if isinstance(item, Entry)}
    files |= {"test/cat/9.png": png(8), "test/dog/9.png": png(9)} | {
        path.replace("__", "/"): more[path] for path in more
    }
    return [entry(path, data) for path, data in files.items()]


def test_images_to_test_on_are_a_set_of_their_own() -> None:
    saved = Saved()
    found = collect(in_splits(), LIMITS, saved, ignore)
    assert found.test is not None
    assert (found.classes, found.test.classes) == ((("cat", 2), ("dog", 2)), (("cat", 1), ("dog", 1)))
    assert [(image.position, image.path) for image in found.test.images] == [
        (0, "test/cat/9.png"),
        (1, "test/dog/9.png"),
    ]
    assert list(saved)[4:] == [image.sha256 for image in found.test.images]
    assert found.rejected == found.test.rejected == ()


def test_an_image_that_is_trained_on_is_not_tested_on() -> None:
    found = collected(in_splits(test__dog__8=png(3), test__dog__7=png(1)))
    assert found.test is not None
    assert found.test.classes == (("cat", 1), ("dog", 1))
    codes = [("test/dog/7", "duplicate_other_class"), ("test/dog/8", "duplicate")]
    assert [(each.path, each.code) for each in found.rejected] == codes
    assert found.test.rejected == found.rejected


def test_a_class_that_was_left_out_is_not_tested_on_and_one_only_to_test_on_is() -> None:
    more = {"train__yak__1.png": png(20), "test__yak__1.png": png(21), "test__bird__1.png": png(22)}
    found = collected(in_splits(**more))
    assert found.test is not None
    assert found.test.classes == (("bird", 1), ("cat", 1), ("dog", 1))
    assert {each.path: each.code for each in found.rejected} == {
        "test/yak/1.png": "class_too_small",
        "yak": "class_too_small",
    }


def test_too_little_to_test_on_is_no_set_but_a_reason() -> None:
    items = [item for item in in_splits() if not (isinstance(item, Entry) and item.path == "test/dog/9.png")]
    found = collected(items)
    assert found.test is None
    assert [(each.path, each.code) for each in found.rejected] == [("test", "no_test_set")]
    assert found.classes == (("cat", 2), ("dog", 2))


def test_the_labels_of_both_parts_are_checked_before_anything_is_read() -> None:
    asked: list[Sequence[str]] = []
    collect(
        in_splits(test__bird__1=png(22), train__ant__x=png(23), train__ant__y=png(24)), LIMITS, Saved(), asked.append
    )
    assert asked == [["cat", "dog"], ["cat", "dog"], ["ant", "cat", "dog"], ["bird", "cat", "dog"]]


# --- what makes no set ---


def test_no_images() -> None:
    for items in ([], [entry("1.png", png(1))], [entry("cat/1.png", b"x"), entry("dog/1.png", b"")]):
        error = dataset_error(items)
        assert error.error_code == "no_images"
        assert "cat/1.jpg" in error.message
        assert error.details["rejected_count"] == len(items)


def test_no_images_says_what_was_wrong_with_the_first() -> None:
    assert "'cat/1.png' was turned away: The file is not an image." in dataset_error([entry("cat/1.png", b"x")]).message


def test_the_error_says_why_each_file_was_rejected() -> None:
    details = dataset_error([entry("cat/1.png", b"x"), entry("2.png", png(1))]).details
    assert {(each["path"], each["code"]) for each in details["rejected"]} == {
        ("cat/1.png", "not_an_image"),
        ("2.png", "no_class_folder"),
    }
    assert all(each["reason"] for each in details["rejected"])


def test_the_list_of_rejections_in_an_error_is_cut() -> None:
    details = dataset_error(entry(f"cat/{number}.png", b"x") for number in range(MAX_LISTED_REJECTIONS + 50)).details
    assert len(details["rejected"]) == MAX_LISTED_REJECTIONS
    assert details["rejected_count"] == MAX_LISTED_REJECTIONS + 50


def test_one_class_only() -> None:
    error = dataset_error([entry("cat/1.png", png(1)), entry("cat/2.png", png(2)), entry("notes/a.txt", b"x")])
    assert error.error_code == "too_few_classes"
    assert "'cat' (2 images)" in error.message
    assert "dog/1.jpg" in error.message


def test_a_class_with_too_few_images_is_left_out_with_a_reason() -> None:
    items = two_classes({"bird/1.png": png(5), "ant/1.png": png(6), "ant/2.png": png(6), "yak/1.png": b"damaged"})
    found = collected(items)
    assert found.classes == (("cat", 2), ("dog", 2))
    assert [image.position for image in found.images] == [0, 1, 2, 3]
    assert {rejection.path: rejection.code for rejection in found.rejected} == {
        "ant": "class_too_small",
        "ant/2.png": "duplicate",
        "bird": "class_too_small",
        "yak": "class_too_small",
        "yak/1.png": "not_an_image",
    }
    assert "1 usable images; it needs 2 (min_class_images)" in found.rejected[0].reason
    with_one = collected(items, replace(LIMITS, min_class_images=1))
    assert [name for name, _ in with_one.classes] == ["ant", "bird", "cat", "dog"]


def test_two_classes_have_to_remain() -> None:
    items = [entry(f"{path}.png", png(n)) for n, path in enumerate(["cat/1", "cat/2", "bird/1", "ant/1"])]
    error = dataset_error(items)
    assert error.error_code == "too_few_images"
    assert "'ant' (1), 'bird' (1)" in error.message
    assert error.details["classes"] == [{"name": "ant", "count": 1}, {"name": "bird", "count": 1}]


def test_the_list_of_classes_in_a_message_is_cut() -> None:
    error = dataset_error(entry(f"class{number:02}/1.png", png(number)) for number in range(25))
    assert error.message.count("'class") == 10
    assert "and 15 more" in error.message
    assert len(error.details["classes"]) == 25


def test_too_many_classes_stop_early() -> None:
    saved = Saved()
    items = [entry(f"class{number}/{image}.png", png(2 * number + image)) for number in range(5) for image in range(2)]
    with pytest.raises(InvalidDataset, match=r"more than 3 classes \(max_dataset_classes\)") as caught:
        collect(items, replace(LIMITS, max_dataset_classes=3), saved, ignore)
    assert caught.value.error_code == "too_many_classes"
    assert len(saved) == 0
    assert len(collected(items, replace(LIMITS, max_dataset_classes=5)).classes) == 5


def test_too_many_images_are_refused_before_any_is_read() -> None:
    def never() -> bytes:
        raise AssertionError("read")

    items = [Entry(f"cat/{number}.png", never) for number in range(11)]
    error = dataset_error(items, replace(LIMITS, max_dataset_images=10))
    assert error.error_code == "too_many_images"
    assert "11 files; at most 10" in error.message


def test_too_many_classes_that_only_their_bytes_give_away_stop_early() -> None:
    saved = Saved()
    items = [entry(f"class{number}/{image}", png(2 * number + image)) for number in range(5) for image in range(2)]
    items.append(entry("class0/named.png", png(99)))
    with pytest.raises(InvalidDataset, match=r"more than 3 classes \(max_dataset_classes\)"):
        collect(items, replace(LIMITS, max_dataset_classes=3), saved, ignore)
    assert len(saved) == 6


def test_labels_are_checked_before_anything_is_read() -> None:
    def refuse(labels: Sequence[str]) -> None:
        raise InvalidInput(", ".join(labels), code="labels_alike")

    def never() -> bytes:
        raise AssertionError("read")

    with pytest.raises(InvalidInput, match=r"^Cat, cat, dog$") as caught:
        collect([Entry(f"{label}/1.png", never) for label in ("dog", "cat", "Cat")], LIMITS, Saved(), refuse)
    assert caught.value.error_code == "labels_alike"


def test_labels_that_only_their_images_make_classes_are_checked_too() -> None:
    asked: list[Sequence[str]] = []
    hidden = {"CAT/a": png(5), "CAT/b": png(6), "Dog/notes.txt": b"x"}
    collect(two_classes(hidden), LIMITS, Saved(), asked.append)
    assert asked == [["cat", "dog"], ["CAT", "cat", "dog"]]
    asked.clear()
    collect(two_classes({"CAT/notes.txt": b"x"}), LIMITS, Saved(), asked.append)
    assert asked == [["cat", "dog"]]


def test_errors_of_the_whole_archive_are_not_rejections() -> None:
    with pytest.raises(InvalidArchive):
        collected(read_archive(io.BytesIO(b"no zip"), LIMITS))


# --- cost ---


class Counted(bytes):
    """Bytes that know how many of their kind are alive."""

    alive = 0
    most = 0

    def __new__(cls, data: bytes) -> Counted:
        made = super().__new__(cls, data)
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)
        return made

    def __del__(self) -> None:
        Counted.alive -= 1


def tiny_png(number: int) -> bytes:
    """A grey pixel whose file differs for every number; made by hand, to be quick."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    text = chunk(b"tEXt", b"number\0" + str(number).encode())
    pixels = chunk(b"IDAT", zlib.compress(bytes(2)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + text + pixels + chunk(b"IEND", b"")


def made_when_read(number: int) -> Callable[[], bytes]:
    return lambda: Counted(tiny_png(number))


def test_ten_thousand_files_take_seconds_and_are_never_held() -> None:
    Counted.alive = Counted.most = 0
    names: list[str] = []

    def save(sha256: str, data: bytes, media_type: str) -> None:
        names.append(sha256)

    items = [Entry(f"class{number % 100}/{number}.png", made_when_read(number)) for number in range(10_000)]
    started = time.process_time()
    found = collect(items, LIMITS, save, ignore)
    assert time.process_time() - started < 15
    assert len(found.images) == len(set(names)) == 10_000
    assert set(dict(found.classes).values()) == {100}
    assert Counted.most <= 3
    assert Counted.alive == 0


def test_ten_thousand_members_of_an_archive_take_seconds() -> None:
    data = zipped({f"set/class{number % 50}/{number}.png": tiny_png(number) for number in range(10_000)})
    started = time.process_time()
    found = collect(read_archive(io.BytesIO(data), LIMITS), LIMITS, ignore, ignore)
    assert time.process_time() - started < 15
    assert len(found.images) == 10_000
    assert found.rejected == ()


def test_sixteen_shots_of_imagenet_fit_the_limits_as_they_are_set() -> None:
    """Its pictures have 110 KB on average."""
    settings = Limits()
    limits = DataLimits.from_attributes(settings)
    assert min(settings.max_upload_bytes, limits.max_archive_expanded_bytes) > 16_000 * 115_000
    data = zipped({f"imagenet/train/class {n % 1_000}/{n}.JPEG": tiny_png(n) for n in range(16_000)} | {"README": b"x"})
    found = collect(read_archive(io.BytesIO(data), limits), limits, ignore, ignore)
    assert len(found.images) == 16_000
    assert len(found.classes) == 1_000
    assert [rejection.path for rejection in found.rejected] == ["README"]


def ignore(*_: Any) -> None:
    """Save nothing."""
