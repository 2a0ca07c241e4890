from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saft_core.data.splits import stratified_split

labels_lists = st.lists(st.integers(0, 5), max_size=60)
shares = st.floats(0, 1, exclude_min=True, exclude_max=True)


@given(labels_lists, shares, st.integers(0, 2**32 - 1))
def test_the_two_sides_make_the_whole_and_every_class_is_on_both(labels: list[int], share: float, seed: int) -> None:
    train, held_out = stratified_split(labels, share, seed)
    assert sorted(train + held_out) == list(range(len(labels)))
    assert train == sorted(train)
    assert held_out == sorted(held_out)
    in_train, in_held_out = Counter(labels[i] for i in train), Counter(labels[i] for i in held_out)
    for label, size in Counter(labels).items():
        assert in_train[label] >= 1
        assert (in_held_out[label] >= 1) == (size >= 2)
        assert abs(in_held_out[label] - size * share) <= 1


def test_the_share_is_kept_in_every_class() -> None:
    labels = [0] * 40 + [1] * 20
    _, held_out = stratified_split(labels, 0.25, 3)
    assert Counter(labels[i] for i in held_out) == {0: 10, 1: 5}


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    labels = [i % 3 for i in range(90)]
    assert stratified_split(labels, 0.3, 7) == stratified_split(labels, 0.3, 7)
    assert stratified_split(labels, 0.3, 7) != stratified_split(labels, 0.3, 8)


def test_the_numbers_are_plain_integers() -> None:
    train, held_out = stratified_split([0, 0, 1, 1], 0.5, 0)
    assert {type(index) for index in train + held_out} == {int}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_outside_of_0_and_1_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        stratified_split([0, 0], share, 0)
