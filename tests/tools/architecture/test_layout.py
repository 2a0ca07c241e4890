"""Boxes do not overlap, and arrows pass beside them."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

from tools.architecture.imports import read
from tools.architecture.layout import BOXES, FOUNDATION, HEIGHT, WIDTH, Box, ways


def _apart(one: Box, other: Box) -> bool:
    return one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y


def test_boxes_lie_side_by_side_within_the_picture() -> None:
    places = [*BOXES.values(), FOUNDATION]
    assert all(_apart(one, other) for one, other in combinations(places, 2))
    assert all(box.x >= 0 and box.y >= 0 and box.right <= WIDTH and box.bottom <= HEIGHT for box in places)


def test_arrows_of_the_code_run_from_box_to_box_and_through_no_other() -> None:
    for (importer, imported), way in ways(read().arrows).items():
        lines = list(pairwise(way))
        assert all(start[0] == end[0] or start[1] == end[1] for start, end in lines), "upright or level"
        assert not any(box.meets(*line) for line in lines for box in BOXES.values())
        assert _on_edge(BOXES[importer], way[0])
        assert _on_edge(BOXES[imported], way[-1])


def _on_edge(box: Box, point: tuple[float, float]) -> bool:
    x, y = point
    return (x in (box.x, box.right) and box.y <= y <= box.bottom) or (
        y in (box.y, box.bottom) and box.x <= x <= box.right
    )


def test_arrows_of_two_packages_never_lie_on_each_other_in_a_lane() -> None:
    upright = [
        (arrow[0], start[0], sorted((start[1], end[1])))
        for arrow, way in ways(read().arrows).items()
        for start, end in pairwise(way)
        if start[0] == end[0]
    ]
    for (one, x, (top, bottom)), (other, at, (above, below)) in combinations(upright, 2):
        assert one == other or x != at or bottom <= above or below <= top, f"{one} and {other}"


def test_an_arrow_with_no_clear_way_is_an_error() -> None:
    with pytest.raises(ValueError, match="ui imports Valkey: no clear way"):
        ways([("ui", "Valkey")])
