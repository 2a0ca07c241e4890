import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.datasets import coop, imagenet
from evaluation.datasets.dataset import DataSet, TestSet
from evaluation.splits import Shots, base_half, draw, halved, new_half, of_test
from saft_core.data.samples import Sample
from tests.fixtures import layouts

TEMPLATE = "a photo of a {}."


def sample(label: int, number: int) -> Sample:
    return Sample(label, f"{label}/{number}", bytes)


def told(samples: Sequence[Sample]) -> list[tuple[str, int]]:
    return [(one.path, one.label) for one in samples]


def by_the_rule(rows: list[tuple[str, int]], shots: int) -> list[tuple[str, int]]:
    """The protocol as it is published, on the state of Python's own `random`."""
    tracker: dict[int, list[tuple[str, int]]] = {}
    for row in rows:
        tracker.setdefault(row[1], []).append(row)
    drawn = []
    for items in tracker.values():
        drawn += random.sample(items, shots) if len(items) >= shots else random.choices(items, k=shots)
    return drawn


@pytest.mark.parametrize("seed", [1, 2, 3, 12345])
@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
def test_shots_are_those_of_the_rule(tmp_path: Path, shots: int, seed: int) -> None:
    layouts.coop(tmp_path, "caltech101")
    drawn = draw(coop.read(tmp_path, "caltech101"), shots, seed)
    random.seed(seed)
    assert told(drawn.train) == by_the_rule([row[:2] for row in layouts.SPLIT["train"]], shots)
    assert told(drawn.val) == by_the_rule([row[:2] for row in layouts.SPLIT["val"]], min(shots, 4))


def test_a_class_with_too_few_images_repeats_some_and_no_other_does(tmp_path: Path) -> None:
    layouts.coop(tmp_path, "caltech101")
    drawn = draw(coop.read(tmp_path, "caltech101"), 5, 1)
    assert Counter(one.label for one in drawn.train) == dict.fromkeys(range(4), 5)
    distinct = Counter(label for _, label in set(told(drawn.train)))
    assert distinct[1] <= 2
    assert distinct[0] == distinct[2] == distinct[3] == 5


def test_a_set_without_a_validation_part_has_no_held_shots(tmp_path: Path) -> None:
    layouts.imagenet(tmp_path)
    drawn = draw(imagenet.read(tmp_path), 2, 1)
    random.seed(1)
    rows = [
        (f"train/{wnid}/{wnid}_{number}.JPEG", label) for label, wnid in enumerate(layouts.WNIDS) for number in range(5)
    ]
    assert told(drawn.train) == by_the_rule(rows, 2)
    assert not drawn.val


def test_a_draw_leaves_the_state_of_the_process_alone() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    draw(DataSet("one", ("a",), TEMPLATE, [sample(0, 0)], (), ()), 2, 1)
    assert random.random() == expected


def test_no_shots_are_refused() -> None:
    with pytest.raises(ValueError, match="0 shots"):
        draw(DataSet("one", ("a",), TEMPLATE, [sample(0, 0)], (), ()), 0, 1)


def test_the_hash_is_of_paths_labels_their_order_and_their_part() -> None:
    first, second, renamed = sample(0, 0), sample(0, 1), Sample(1, "0/0", bytes)
    made = [
        Shots(("a", "b"), TEMPLATE, train, val).sha256
        for train, val in [
            ([first, second], []),
            ([second, first], []),
            ([first], [second]),
            ([], [first, second]),
            ([renamed, second], []),
            ([first, first], []),
        ]
    ]
    assert len(set(made)) == len(made)
    assert all(len(one) == 64 for one in made)
    assert Shots(("c", "d"), "{}", (sample(0, 0), sample(0, 1)), ()).sha256 == made[0]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_hash_is_known_for_a_draw(tmp_path: Path, seed: int) -> None:
    layouts.coop(tmp_path / "one", "dtd")
    layouts.coop(tmp_path / "two", "dtd")
    one, two = (draw(coop.read(tmp_path / where, "dtd"), 2, seed) for where in ("one", "two"))
    assert one.sha256 == two.sha256 != draw(coop.read(tmp_path / "one", "dtd"), 2, seed + 2).sha256


@pytest.mark.parametrize("classes", [1, 2, 5, 6])
def test_the_first_half_of_the_labels_is_base_and_the_rest_is_new(classes: int) -> None:
    labels = tuple("abcdef"[:classes])
    middle = math.ceil(classes / 2)
    mixed = [sample(label, number) for number in range(3) for label in reversed(range(classes))]
    shots = Shots(labels, TEMPLATE, mixed[:-classes], mixed[-classes:])
    for half, start, stop in ((base_half, 0, middle), (new_half, middle, classes)):
        kept = half(shots)
        assert kept.labels == labels[start:stop]
        for part, whole in ((kept.train, shots.train), (kept.val, shots.val)):
            assert told(part) == [(one.path, one.label - start) for one in whole if start <= one.label < stop]
        test = of_test(TestSet("mine", labels, mixed, "{} texture."), half)
        assert (test.name, test.labels, test.template) == ("mine", labels[start:stop], "{} texture.")
        assert told(test.samples) == [(one.path, one.label - start) for one in mixed if start <= one.label < stop]


def test_the_base_half_has_the_shots_of_the_whole_draw(tmp_path: Path) -> None:
    layouts.coop(tmp_path, "food101")
    drawn = draw(coop.read(tmp_path, "food101"), 4, 1)
    assert told(base_half(drawn).train) == [(path, label) for path, label in told(drawn.train) if label < 2]
    assert told(new_half(drawn).val) == [(path, label - 2) for path, label in told(drawn.val) if label >= 2]


def test_half_of_the_shots_of_each_class_may_be_held() -> None:
    train = [*[sample(0, number) for number in range(5)], *[sample(1, number) for number in range(4)]]
    first, held = halved(Shots(("a", "b"), TEMPLATE, train, ()), 1)
    assert Counter(one.label for one in first.train) == {0: 3, 1: 2}
    assert Counter(one.label for one in held) == {0: 2, 1: 2}
    assert sorted(told([*first.train, *held])) == sorted(told(train))
    assert told(halved(Shots(("a", "b"), TEMPLATE, train, ()), 1)[1]) == told(held)
    assert {tuple(told(halved(Shots(("a", "b"), TEMPLATE, train, ()), seed)[1])) for seed in range(9)} > {
        tuple(told(held))
    }


def test_an_image_that_was_drawn_twice_is_not_held_and_trained_on() -> None:
    train = [sample(0, 0), sample(0, 0), sample(0, 1), sample(1, 0), sample(1, 0)]
    first, held = halved(Shots(("a", "b"), TEMPLATE, train, ()), 1)
    assert sorted(told([*first.train, *held])) == [("0/0", 0), ("0/1", 0), ("1/0", 1)]
    assert [one.label for one in held] == [0]
