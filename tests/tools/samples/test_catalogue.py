import pytest

from tools.samples.catalogue import DRAWINGS, LEFT_OUT, OTHER_DRAWINGS, PHOTOGRAPHS, SHARED, left_out, photographs_of

FLOWERS = [
    "stamps/plants/flowers/rose.png",
    "stamps/plants/flowers/appooppanthady.png",
    "stamps/plants/flowers/plastic/tulip.png",
    "stamps/plants/trees/birch.png",
    "mate/Garden.jpg",
    "scratch/Backgrounds/Nature/flowers.gif",
    "scratch/Costumes/Things/flower-vase.gif",
]


def test_a_class_has_what_its_patterns_meet_less_what_is_left_out() -> None:
    assert photographs_of("flower", FLOWERS) == [
        "mate/Garden.jpg",
        "scratch/Backgrounds/Nature/flowers.gif",
        "scratch/Costumes/Things/flower-vase.gif",
        "stamps/plants/flowers/rose.png",
    ]


def test_a_pattern_that_meets_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="flower-vase"):
        photographs_of("flower", FLOWERS[:-1])


def test_what_is_left_out_has_a_reason() -> None:
    assert left_out("stamps/food/fruit/avocado.png") == "as much a vegetable"
    assert left_out("stamps/food/fruit/lemon.png") is None
    assert all(LEFT_OUT.values())


def test_photographs_and_drawings_have_the_same_classes() -> None:
    assert list(PHOTOGRAPHS) == list(DRAWINGS)
    assert {*OTHER_DRAWINGS, *SHARED.values()} <= set(PHOTOGRAPHS)


def test_no_drawing_shows_two_classes() -> None:
    labels = [label for drawn in DRAWINGS.values() for label in drawn]
    assert len(labels) == len(set(labels))
