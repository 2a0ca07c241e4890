from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.data.splits import draw_shots, stratified_split

shares = st.floats(0, 1, exclude_min=True, exclude_max=True)


def contents(names: list[int]) -> list[str]:
    return [hashlib.sha256(str(name).encode()).hexdigest() for name in names]


@given(st.lists(st.integers(0, 5), max_size=60), shares, st.integers(0, 1000))
def test_the_two_sides_make_the_whole_and_every_class_is_on_both(labels: list[int], share: float, start: int) -> None:
    train, held_out = stratified_split(labels, contents(list(range(start, start + len(labels)))), share)
    assert sorted(train + held_out) == list(range(len(labels)))
    assert train == sorted(train)
    assert held_out == sorted(held_out)
    in_train, in_held_out = Counter(labels[i] for i in train), Counter(labels[i] for i in held_out)
    for label, size in Counter(labels).items():
        assert in_train[label] >= 1
        assert (in_held_out[label] >= 1) == (size >= 2)
        assert abs(in_held_out[label] - size * share) <= 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=60), shares)
def test_copies_stay_together_and_every_class_that_can_be_is_on_both_sides(
    samples: list[tuple[int, int]], share: float
) -> None:
    labels, names = [label for label, _ in samples], [name for _, name in samples]
    train, held_out = stratified_split(labels, contents(names), share)
    assert sorted(train + held_out) == list(range(len(labels)))
    assert not {names[i] for i in train} & {names[i] for i in held_out}
    for label in set(labels):
        own = {name for other, name in samples if other == label and {m for m, x in samples if x == name} == {label}}
        shared = {name for other, name in samples if other == label} - own
        assert any(labels[i] == label for i in train)
        assert any(labels[i] == label for i in held_out) == (len(own) >= (1 if shared else 2))


def test_the_share_is_kept_in_every_class() -> None:
    labels = [0] * 40 + [1] * 20
    _, held_out = stratified_split(labels, contents(list(range(60))), 0.25)
    assert Counter(labels[i] for i in held_out) == {0: 10, 1: 5}


def test_the_draw_goes_by_what_the_samples_are_and_not_by_their_order() -> None:
    labels, names = [i % 3 for i in range(90)], list(range(90))
    _, held_out = stratified_split(labels, contents(names), 0.3)
    _, backwards = stratified_split(labels[::-1], contents(names[::-1]), 0.3)
    assert held_out == sorted(89 - i for i in backwards)
    _, others = stratified_split(labels, contents([name + 1000 for name in names]), 0.3)
    assert held_out != others


def test_copies_that_are_more_than_the_share_do_not_swallow_their_class() -> None:
    labels, names = [0] * 10, [7] * 8 + [1, 2]
    train, held_out = stratified_split(labels, contents(names), 0.2)
    assert {names[i] for i in held_out} <= {1, 2}
    assert held_out
    assert 7 in {names[i] for i in train}


def test_the_numbers_are_plain_integers() -> None:
    train, held_out = stratified_split([0, 0, 1, 1], contents([0, 1, 2, 3]), 0.5)
    assert {type(index) for index in train + held_out} == {int}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_outside_of_0_and_1_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        stratified_split([0, 0], contents([0, 1]), share)


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 6), st.integers(0, 3))
def test_shots_are_so_many_of_each_class_or_all_it_has(labels: list[int], shots: int, seed: int) -> None:
    drawn = draw_shots(labels, shots, seed)
    assert drawn == sorted(set(drawn)) == draw_shots(labels, shots, seed)
    there = Counter(labels)
    assert Counter(labels[i] for i in drawn) == {label: min(count, shots) for label, count in there.items()}
