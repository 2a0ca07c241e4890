from __future__ import annotations

import pytest

from tools.pretrain import taxonomy
from tools.pretrain.sources import Emoji
from tools.pretrain.taxonomy import CATEGORIES, category_of


def emoji(label: str, subgroup: str) -> Emoji:
    return Emoji(code="1F600", label=label, keywords=(), subgroup=subgroup)


@pytest.mark.parametrize(
    ("label", "subgroup", "category"),
    [
        ("dog", "animal-mammal", "mammal"),
        ("grinning face", "face-smiling", "face"),
        ("cowboy", "face-costume", "creature"),
        ("waving hand", "hand-fingers-open", "hand gesture"),
        ("bus stop", "transport-ground", "traffic sign"),  # moved out of its subgroup
        ("hourglass done", "time", None),  # moved to no category
        ("whatever", "no-such-subgroup", None),
    ],
)
def test_an_emoji_is_of_the_category_of_its_subgroup_unless_it_is_moved(
    label: str, subgroup: str, category: str | None
) -> None:
    assert category_of(emoji(label, subgroup)) == category


def test_every_category_that_is_named_has_its_words() -> None:
    assert set(taxonomy._OF_SUBGROUP.values()) <= set(CATEGORIES)
    assert set(taxonomy._MOVED) - set(CATEGORIES) == {"other"}
