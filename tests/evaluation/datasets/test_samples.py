from collections import Counter
from pathlib import Path

from evaluation.datasets import samples
from tests.fixtures.samples import ALL_CLASSES, FOLDER


def test_the_pictures_of_a_checkout_are_photographs_and_drawings() -> None:
    found = samples.read()
    assert found.labels == tuple(ALL_CLASSES)
    assert Counter(one.label for one in found.train) == dict.fromkeys(range(10), 16)
    assert len(found.test) == sum(1 for _ in FOLDER.glob("test/*/*.webp"))
    (drawings,) = found.shifted
    assert (drawings.name, drawings.labels) == ("drawings", found.labels)
    assert len(drawings.samples) == sum(1 for _ in FOLDER.glob("shifted/*/*.png"))
    assert found.absent == {}


def test_without_a_checkout_the_photographs_of_the_package_stand_in(tmp_path: Path) -> None:
    packed, whole = samples.read(tmp_path), samples.read()
    assert packed.labels == whole.labels
    for part, others in ((packed.train, whole.train), (packed.test, whole.test)):
        assert [(one.path, one.label, one.content()) for one in part] == [
            (one.path, one.label, one.content()) for one in others
        ]
    assert packed.shifted == ()
    assert "checkout" in packed.absent["drawings"]
